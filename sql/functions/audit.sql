-- sql/functions/audit.sql: leaf hashes, roots and the walk over the seals (06 section 11.6).
--
-- For the sealer, the verifier and psql. No insert of an audit row calls any of these.

-- Length-prefixed UTF-8; NULL is a length that no text has.
CREATE OR REPLACE FUNCTION lp(x text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE WHEN x IS NULL THEN '\xffffffff'::bytea
                ELSE int4send(octet_length(convert_to(x, 'UTF8'))) || convert_to(x, 'UTF8') END;
END $$;

CREATE OR REPLACE FUNCTION audit_leaf_hash(e audit_events) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN sha256('\x0001'::bytea || int8send(e.seq) || lp(e.id) || lp(e.actor)
        || lp(e.actor_type) || lp(e.action) || lp(e.resource_type) || lp(e.resource_id)
        || lp(e.details::text)
        || int8send((extract(epoch FROM e."timestamp") * 1000000)::bigint)
        || lp(e.event_category) || lp(host(e.source_ip)) || lp(e.request_id));
END $$;

-- RFC 6962 section 2.1, for leaves that are hashed already.
CREATE OR REPLACE FUNCTION merkle_root(leaves bytea[]) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    level bytea[] := leaves;
    above bytea[];
    i integer;
BEGIN
    IF coalesce(cardinality(level), 0) = 0 THEN
        RETURN sha256(''::bytea);
    END IF;
    WHILE cardinality(level) > 1 LOOP
        above := '{}';
        i := 1;
        WHILE i <= cardinality(level) LOOP
            above := above || CASE WHEN i < cardinality(level)
                                   THEN sha256('\x01'::bytea || level[i] || level[i + 1])
                                   ELSE level[i] END;
            i := i + 2;
        END LOOP;
        level := above;
    END LOOP;
    RETURN level[1];
END $$;

-- Leaves, roots and the chain of seals; signatures are checked by certctl-audit. A first_break_pos
-- of -1 says that all holds.
CREATE OR REPLACE FUNCTION audit_events_verify_chain(OUT first_break_id text,
                                                     OUT first_break_pos bigint,
                                                     OUT row_count bigint)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    s audit_seals;
    prev bytea;
    bad text;
    found_leaves bytea[];
    n bigint := 0;
BEGIN
    first_break_pos := -1;
    row_count := 0;
    FOR s IN SELECT * FROM audit_seals ORDER BY seal_no LOOP
        n := n + 1;
        IF EXISTS (SELECT 1 FROM audit_seal_archive a WHERE a.seal_no = s.seal_no) THEN
            prev := s.seal_hash;
            CONTINUE;
        END IF;
        SELECT min(x.id) FILTER (WHERE x.leaf <>
                                 substr(s.leaves, (32 * (x.pos - 1) + 1)::int, 32)),
               array_agg(x.leaf ORDER BY x.pos)
          INTO bad, found_leaves
          FROM (SELECT e.id, audit_leaf_hash(e) AS leaf,
                       row_number() OVER (ORDER BY e.seq) AS pos
                  FROM audit_events e
                 WHERE e.seq <@ s.members AND e."timestamp" BETWEEN s.min_ts AND s.max_ts) x;
        row_count := row_count + coalesce(cardinality(found_leaves), 0);
        IF bad IS NOT NULL OR coalesce(cardinality(found_leaves), 0) <> s.row_count
           OR merkle_root(found_leaves) <> s.merkle_root
           OR s.prev_seal_hash IS DISTINCT FROM prev THEN
            first_break_id := coalesce(bad, 'seal ' || s.seal_no);
            first_break_pos := n;
            RETURN;
        END IF;
        prev := s.seal_hash;
    END LOOP;
END $$;
