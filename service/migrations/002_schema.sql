-- The tables move from the schema public to one of their own (DATABASE_SCHEMA), beside whatever tables the database has.
-- Those of a new database are there already, so that nothing is left to move.

-- The release before finds them in public, where views take their place: it goes on while this one starts, and again
-- after a rollback. The next release drops the views.
DO $$
DECLARE
    moved text;
    own text := current_schema();
BEGIN
    IF to_regclass('schema_migration') IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(7346212020); -- of service/history/store.py: nobody is in the middle of a round
    FOREACH moved IN ARRAY ARRAY['history_sample', 'history_minute', 'history_hour', 'history_incident', 'history_state'] LOOP
        EXECUTE format('ALTER TABLE public.%I SET SCHEMA %I', moved, own);
        -- with the ctid, by which that release deletes; the role that answers requests gets its rights by default
        EXECUTE format('CREATE VIEW public.%1$I AS SELECT ctid, * FROM %2$I.%1$I', moved, own);
    END LOOP;
    EXECUTE format('ALTER TABLE public.schema_migration SET SCHEMA %I', own);
    -- OFFSET makes it a view that nobody writes to
    EXECUTE format('CREATE VIEW public.schema_migration AS SELECT * FROM %I.schema_migration OFFSET 0', own);
END $$;
