# Sourced by the scripts beside it: makes .venv with the pinned packages, once, and again only when they change.
# Usage: prepare_environment [EXTRA...]   (extras of pyproject.toml, such as: test docs)

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3 python; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "pipebound needs Python 3.11 or newer; set PYTHON to one" >&2
    return 2
}

prepare_environment() {
    local python wanted extra list="" missing=""
    # One stamp for each extra, and one for the package alone, says for which version of these files it was installed.
    wanted="$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)"
    for extra in package "$@"; do
        if [ "$(cat "$root/.venv/.installed-$extra" 2>/dev/null)" != "$wanted" ]; then
            missing="$missing $extra"
        fi
    done
    if [ -x "$root/.venv/bin/python" ] && [ -z "$missing" ]; then
        return
    fi
    python="$(find_python)" || exit 2
    [ -x "$root/.venv/bin/python" ] || "$python" -m venv "$root/.venv"
    [ $# = 0 ] || list="[$(IFS=,; echo "$*")]"
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$root/constraints.txt" --editable "$root$list"
    for extra in package "$@"; do
        echo "$wanted" >"$root/.venv/.installed-$extra"
    done
}

# Runs a command that fetches things, again if a bad connection ended it: twice more, and 20 minutes at most each time.
fetch() {
    local attempt code=0
    for attempt in 1 2 3; do
        code=0
        timeout 1200 "$@" || code=$?
        # What took too long would do so again.
        [ $code != 0 ] && [ $code != 124 ] || break
    done
    return $code
}

# Makes .venv-torch: the packages of .venv, torch for the CPU, and tools that take what pipebound writes. PIPEBOUND_TORCH is
# what pip installs in place of the torch of PyPI, with its dependencies: a CPU build, for instance, from an index that
# PIP_EXTRA_INDEX_URL names.
prepare_torch_environment() {
    local folder="$root/.venv-torch" pip own base wanted
    prepare_environment test
    wanted="$(cat "$root"/scripts/torch_{requirements.txt,tools.txt,stubs.py} | cksum) ${PIPEBOUND_TORCH:-}"
    [ "$(cat "$folder/.installed" 2>/dev/null)" != "$wanted" ] || return 0
    [ -x "$folder/bin/python" ] || "$root/.venv/bin/python" -m venv --without-pip "$folder"
    own="$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
    base="$("$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
    pip=("$root/.venv/bin/python" -m pip --python "$folder/bin/python" install --quiet --disable-pip-version-check
        --timeout 120 --retries 8)
    if [ -n "${PIPEBOUND_TORCH:-}" ]; then
        fetch "${pip[@]}" --constraint "$root/constraints.txt" "$PIPEBOUND_TORCH" || return
    else
        fetch "${pip[@]}" --no-deps --requirement "$root/scripts/torch_requirements.txt" || return
        "$folder/bin/python" "$root/scripts/torch_stubs.py" "$own" || return
    fi
    fetch "${pip[@]}" --no-deps --requirement "$root/scripts/torch_tools.txt" || return
    echo "import site; site.addsitedir('$base')" >"$own/base.pth"
    echo "$wanted" >"$folder/.installed"
}
