-- A day of history for the page of a fresh checkout, with one incident in it. A seed may be loaded again: what is there stays.
SET LOCAL search_path = stackhand_status;

INSERT INTO history_minute (
    component, minute, passed, warned, failed, unknown, minutes, latency_sum_ms, latency_max_ms, histogram
)
SELECT
    component, minute, 6 - failed, 0, failed, 0, 1, latency * (6 - failed), latency,
    -- the classes of service/history/statistics.py: 1.2 ms is in the fifth of twenty-five, 2.4 in the seventh
    array_fill(0, ARRAY[CASE WHEN latency < 2 THEN 4 ELSE 6 END])
    || (6 - failed)
    || array_fill(0, ARRAY[CASE WHEN latency < 2 THEN 20 ELSE 18 END])
FROM unnest(ARRAY['db', 'cache']) AS component
CROSS JOIN generate_series(
    date_trunc('minute', now()) - interval '24 hours', date_trunc('minute', now()) - interval '10 minutes', interval '1 minute'
) AS minute
CROSS JOIN LATERAL (SELECT CASE WHEN extract(hour FROM minute)::int % 3 = 0 THEN 2.4 ELSE 1.2 END AS latency) AS slow
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN component = 'cache' AND minute >= date_trunc('hour', now(), 'UTC') - interval '6 hours'
            AND minute < date_trunc('hour', now(), 'UTC') - interval '6 hours' + interval '12 minutes' THEN 6
        ELSE 0 END AS failed
) AS outage
ON CONFLICT DO NOTHING;

INSERT INTO history_hour (
    component, hour, passed, warned, failed, unknown, minutes, latency_sum_ms, latency_max_ms, histogram
)
SELECT
    component, hour, sum(passed), sum(warned), sum(failed), sum(unknown), sum(minutes),
    sum(latency_sum_ms), max(latency_max_ms),
    ARRAY(
        SELECT sum(part.histogram[place])
        FROM history_minute AS part CROSS JOIN generate_series(1, 25) AS place
        WHERE part.component = of_hours.component AND part.minute >= hour AND part.minute < hour + interval '1 hour'
        GROUP BY place ORDER BY place
    )
FROM (SELECT *, date_trunc('hour', minute, 'UTC') AS hour FROM history_minute) AS of_hours
GROUP BY component, hour
ON CONFLICT DO NOTHING;

INSERT INTO history_incident (component, started_at, ended_at, worst, code, note)
SELECT 'cache', start, start + interval '12 minutes', 'fail', 'refused', 'an example, of ./inv db.seed'
FROM (SELECT date_trunc('hour', now(), 'UTC') - interval '6 hours' AS start) AS six_hours_ago
WHERE NOT EXISTS (SELECT FROM history_incident WHERE note = 'an example, of ./inv db.seed');
