-- Spends a key of one scope. False: it was spent before. The row shares the commit of what it
-- guards; p_lazily is for reads, whose commit need not wait for the disk (01 section 7).
-- p_expires is by the caller's clock, and rows are collected by ours: a caller whose clock is behind
-- still takes a nonce when its row would be gone. Ten minutes cover a nonce's usual life of five.
CREATE OR REPLACE FUNCTION replay_spend(p_scope text, p_key text, p_expires timestamptz, p_lazily boolean)
  RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF p_lazily THEN
    PERFORM set_config('synchronous_commit', 'off', true);
  END IF;
  INSERT INTO replay_guard (scope, key, expires_at)
  VALUES (p_scope, p_key, greatest(p_expires, now() + interval '10 minutes'))
  ON CONFLICT DO NOTHING;
  RETURN FOUND;
END $$;
