-- sql/functions/rate_limit.sql: the limiters (06 section 12).
--
-- 0: allowed, and counted unless p_cost = 0; above 0: refused, the seconds to wait. A limit of 0
-- and an empty key are never limited. Called inside the statement that does the work.

CREATE OR REPLACE FUNCTION rl_take(p_key text, p_limit int, p_window interval,
                                   p_burst int DEFAULT NULL, p_cost int DEFAULT 1)
    RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    n timestamptz := clock_timestamp();
    burst float8 := coalesce(p_burst, p_limit);
    rate float8;
    have float8;
    wait float8;
BEGIN
    IF p_limit <= 0 OR p_key = '' THEN
        RETURN 0;
    END IF;
    IF p_burst IS NULL AND p_limit <= 256 THEN -- exact: a log of the takes in the window
        IF p_cost > 0 THEN
            INSERT INTO rate_limit_buckets AS k (bucket_key, timestamps, updated_at)
            VALUES (p_key, ARRAY[n], n)
            ON CONFLICT (bucket_key) DO UPDATE
               SET timestamps = ARRAY(SELECT t FROM unnest(k.timestamps) t
                                       WHERE t > n - p_window ORDER BY t) || n,
                   updated_at = n
             WHERE (SELECT count(*) FROM unnest(k.timestamps) t WHERE t > n - p_window) < p_limit;
            IF FOUND THEN
                RETURN 0;
            END IF;
        END IF;
        SELECT count(*), extract(epoch FROM min(t) + p_window - n) INTO have, wait
          FROM rate_limit_buckets k, unnest(k.timestamps) t
         WHERE k.bucket_key = p_key AND t > n - p_window;
        IF p_cost = 0 AND have < p_limit THEN
            RETURN 0;
        END IF;
    ELSE -- a bucket of tokens that refills steadily
        rate := p_limit / extract(epoch FROM p_window);
        IF p_cost = 0 THEN
            SELECT least(burst, tokens + greatest(0, extract(epoch FROM n - updated_at)) * rate)
              INTO have FROM rate_limit_buckets WHERE bucket_key = p_key;
            IF NOT FOUND OR have >= 1 THEN
                RETURN 0;
            END IF;
            wait := (1 - have) / rate;
        ELSE
            INSERT INTO rate_limit_buckets AS k (bucket_key, tokens, updated_at)
            VALUES (p_key, burst - p_cost, n)
            ON CONFLICT (bucket_key) DO UPDATE
               SET tokens = least(burst, k.tokens
                            + greatest(0, extract(epoch FROM n - k.updated_at)) * rate) - p_cost,
                   updated_at = n
             WHERE least(burst, k.tokens
                         + greatest(0, extract(epoch FROM n - k.updated_at)) * rate) >= p_cost;
            IF FOUND THEN
                RETURN 0;
            END IF;
            SELECT (p_cost - least(burst, tokens
                    + greatest(0, extract(epoch FROM n - updated_at)) * rate)) / rate
              INTO wait FROM rate_limit_buckets WHERE bucket_key = p_key;
        END IF;
    END IF;
    RETURN greatest(1, ceil(coalesce(wait, 1)));
END $$;

-- As rl_take in its exact form, over the logged table: for failed logins.
CREATE OR REPLACE FUNCTION rl_fail(p_key text, p_limit int, p_window interval,
                                   p_cost int DEFAULT 1)
    RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    n timestamptz := clock_timestamp();
    have int;
    wait float8;
BEGIN
    IF p_limit <= 0 OR p_key = '' THEN
        RETURN 0;
    END IF;
    IF p_cost > 0 THEN
        INSERT INTO login_failures AS k (bucket_key, timestamps, updated_at)
        VALUES (p_key, ARRAY[n], n)
        ON CONFLICT (bucket_key) DO UPDATE
           SET timestamps = ARRAY(SELECT t FROM unnest(k.timestamps) t
                                   WHERE t > n - p_window ORDER BY t) || n,
               updated_at = n
         WHERE (SELECT count(*) FROM unnest(k.timestamps) t WHERE t > n - p_window) < p_limit;
        IF FOUND THEN
            RETURN 0;
        END IF;
    END IF;
    SELECT count(*), extract(epoch FROM min(t) + p_window - n) INTO have, wait
      FROM login_failures k, unnest(k.timestamps) t
     WHERE k.bucket_key = p_key AND t > n - p_window;
    IF p_cost = 0 AND have < p_limit THEN
        RETURN 0;
    END IF;
    RETURN greatest(1, ceil(coalesce(wait, 1)));
END $$;
