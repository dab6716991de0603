-- A study in one file. Values are in ticks unless a column says otherwise; NULL is unknown.

CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS graphs (
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    family TEXT NOT NULL,
    task TEXT NOT NULL,
    nodes INTEGER NOT NULL,
    tensors INTEGER NOT NULL,
    priced INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS devices (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    figures TEXT NOT NULL             -- JSON; null where graphs carry their own prices
);

CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    parameters TEXT NOT NULL UNIQUE,  -- JSON: name and every parameter, defaults included
    entry TEXT NOT NULL               -- as the spec wrote it
);

CREATE TABLE IF NOT EXISTS environments (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    facts TEXT NOT NULL               -- JSON: packages, interpreter, CPU, cores, git revision
);

-- The runs that the spec asks for, in the order in which they start; rewritten by each `study run`.
CREATE TABLE IF NOT EXISTS plan (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,         -- of the run in `runs` that answers it
    graph_id INTEGER NOT NULL REFERENCES graphs,
    device_id INTEGER NOT NULL REFERENCES devices,
    collection TEXT NOT NULL,         -- testbed subset, or 'graphs'
    stages INTEGER NOT NULL,
    label TEXT NOT NULL,
    seed INTEGER NOT NULL,
    budget REAL NOT NULL              -- seconds
);

CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,           -- the key without the code version
    graph_id INTEGER NOT NULL REFERENCES graphs,
    device_id INTEGER NOT NULL REFERENCES devices,
    entry_id INTEGER NOT NULL REFERENCES entries,
    environment_id INTEGER REFERENCES environments,
    code TEXT NOT NULL,
    stages INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    budget REAL NOT NULL,             -- seconds
    state TEXT NOT NULL,              -- 'done' or 'failed'
    error TEXT NOT NULL,              -- why it failed
    attempts INTEGER NOT NULL,
    instance TEXT,                    -- digest of the priced instance: equal digests are equal problems
    unit TEXT,
    ticks_per_unit REAL,
    status TEXT,
    reason TEXT,
    limit_name TEXT,
    detail TEXT,
    dual INTEGER,
    dual_source TEXT,
    soundness TEXT,
    simple INTEGER,                   -- the bound every run starts from
    own INTEGER,                      -- best dual bound without that one
    incumbent INTEGER,
    incumbent_source TEXT,
    seconds REAL,                     -- of solving
    wall REAL NOT NULL,               -- from hand-over to return, seconds
    host TEXT,
    finished_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_by_identity ON runs (identity);

-- The best bound of every source; certificates are in the run's document.
CREATE TABLE IF NOT EXISTS bounds (
    run_id INTEGER NOT NULL REFERENCES runs,
    source TEXT NOT NULL,
    ticks INTEGER NOT NULL,
    soundness TEXT NOT NULL,
    seconds REAL NOT NULL,
    certificate TEXT,                 -- kind of the certificate
    PRIMARY KEY (run_id, source)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS trajectory (
    run_id INTEGER NOT NULL REFERENCES runs,
    step INTEGER NOT NULL,
    seconds REAL NOT NULL,
    dual INTEGER,
    incumbent INTEGER,
    source TEXT NOT NULL,
    PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS faults (
    run_id INTEGER NOT NULL REFERENCES runs,
    member TEXT NOT NULL,
    detail TEXT NOT NULL
);

-- Dual bounds that a run itself saw above a verified incumbent.
CREATE TABLE IF NOT EXISTS contradictions (
    run_id INTEGER NOT NULL REFERENCES runs,
    source TEXT NOT NULL,
    dual INTEGER NOT NULL,
    incumbent INTEGER NOT NULL,
    incumbent_source TEXT NOT NULL
);

-- The whole result, zlib-compressed JSON (pipebound-result), with partition and certificates.
CREATE TABLE IF NOT EXISTS documents (run_id INTEGER PRIMARY KEY REFERENCES runs, document BLOB NOT NULL);
