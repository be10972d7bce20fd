-- The history of health. service/history/__init__.py says how these tables are written, and why nothing counts twice.

-- One result of one component, as one process (instance) read it. All other tables follow from this one.
CREATE TABLE history_sample (
    component text NOT NULL,
    at timestamptz NOT NULL,
    instance uuid NOT NULL,
    sequence integer NOT NULL,
    status text NOT NULL CHECK (status IN ('pass', 'warn', 'fail', 'unknown')),
    latency_ms double precision CHECK (latency_ms >= 0),
    code text NOT NULL DEFAULT '',
    -- A sample that is delivered again has the same key. Two samples may have one time, for clocks step back:
    -- so the key has the sequence number. The time comes first in it because every reading is a range of time.
    PRIMARY KEY (component, at, instance, sequence)
);

-- Figures of one component in one minute, over all instances.
CREATE TABLE history_minute (
    component text NOT NULL,
    minute timestamptz NOT NULL,
    passed integer NOT NULL,
    warned integer NOT NULL,
    failed integer NOT NULL,
    unknown integer NOT NULL,
    -- 1 when the minute has a sample whose result is known, else 0: summed, it is the time that has data.
    minutes integer NOT NULL,
    latency_sum_ms double precision NOT NULL,
    latency_max_ms double precision,
    -- How many latencies fell into each class of service.history.statistics.BOUNDS. Percentiles of parts cannot be merged
    -- into the percentile of the whole, but counts can: those of an hour are the sums of those of its minutes.
    -- Samples that failed are left out: a refused connection is quick, and would make an outage look fast.
    histogram integer[] NOT NULL,
    PRIMARY KEY (component, minute)
) WITH (fillfactor = 70); -- a row is updated several times while its minute lasts: in place, where the page has room

-- The same of one hour, kept longer.
CREATE TABLE history_hour (
    component text NOT NULL,
    hour timestamptz NOT NULL,
    passed integer NOT NULL,
    warned integer NOT NULL,
    failed integer NOT NULL,
    unknown integer NOT NULL,
    minutes integer NOT NULL,
    latency_sum_ms double precision NOT NULL,
    latency_max_ms double precision,
    histogram integer[] NOT NULL,
    PRIMARY KEY (component, hour)
) WITH (fillfactor = 70);

-- A time in which a component did not pass (service/history/incidents.py has the rule).
CREATE TABLE history_incident (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    component text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz CHECK (ended_at >= started_at),
    worst text NOT NULL CHECK (worst IN ('warn', 'fail')),
    code text NOT NULL,
    note text NOT NULL DEFAULT '' CHECK (length(note) <= 2000),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (component, started_at)
);

-- What the rule promises, held by the database too: a component has one open incident at most.
CREATE UNIQUE INDEX history_incident_open ON history_incident (component) WHERE ended_at IS NULL;

-- The list of incidents is read in this order, page by page.
CREATE INDEX history_incident_newest ON history_incident (started_at DESC, id DESC);

-- One row: from when on samples are complete, and when old figures were removed last.
CREATE TABLE history_state (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    complete_from timestamptz NOT NULL DEFAULT '-infinity',
    tidied_at timestamptz NOT NULL DEFAULT '-infinity'
);

INSERT INTO history_state DEFAULT VALUES;
