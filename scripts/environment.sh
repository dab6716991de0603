# Sourced by the scripts beside it: makes .venv with the pinned packages, once, and again only when they change.
# Usage: prepare_environment EXTRAS   (EXTRAS: "" or "[test]")

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
    local extras="$1" python stamp wanted
    stamp="$root/.venv/.installed${extras//[^a-z]/}"
    wanted="$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)"
    if [ -x "$root/.venv/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    python="$(find_python)" || exit 2
    [ -x "$root/.venv/bin/python" ] || "$python" -m venv "$root/.venv"
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$root/constraints.txt" --editable "$root$extras"
    echo "$wanted" >"$stamp"
}
