-- What the probes of one component found in one minute.
CREATE TABLE sample (
    component text NOT NULL,
    minute timestamptz NOT NULL,
    passed integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    latency_ms integer,
    PRIMARY KEY (component, minute)
);
