-- A new key for an account (01 section 8.5). p_old is the key that the request was verified with: when
-- it is no longer the account's, somebody else was faster.
-- outcome: changed | bad_nonce | rate_limited | concurrent | taken (`holder` has the key) | account
CREATE OR REPLACE FUNCTION acme_key_change(
  p_nonce text, p_nonce_expires timestamptz, p_account text, p_profile text, p_old text, p_new text, p_new_pem text,
  p_per_hour integer, p_audit text, p_source_ip inet, p_request text,
  OUT outcome text, OUT holder text, OUT retry_after integer)
  LANGUAGE plpgsql AS $$
DECLARE
  kept record;
BEGIN
  IF NOT replay_spend('acme_nonce', p_nonce, p_nonce_expires, false) THEN
    outcome := 'bad_nonce';
    RETURN;
  END IF;
  retry_after := rl_take('acme:key_change|' || p_account, p_per_hour, '1 hour', p_per_hour);
  IF retry_after > 0 THEN
    outcome := 'rate_limited';
    RETURN;
  END IF;
  SELECT a.status, a.jwk_thumbprint INTO kept FROM acme_accounts a WHERE a.account_id = p_account FOR UPDATE;
  IF kept.status IS DISTINCT FROM 'valid' THEN
    outcome := 'account';
    RETURN;
  END IF;
  IF kept.jwk_thumbprint <> p_old THEN
    outcome := 'concurrent';
    RETURN;
  END IF;
  BEGIN
    UPDATE acme_accounts a
       SET jwk_thumbprint = p_new, jwk_pem = p_new_pem, updated_at = now()
     WHERE a.account_id = p_account AND a.jwk_thumbprint = p_old;
  EXCEPTION WHEN unique_violation THEN -- the index decides, also between two who want the same key
    SELECT a.account_id INTO holder FROM acme_accounts a WHERE a.profile_id = p_profile AND a.jwk_thumbprint = p_new;
    outcome := CASE WHEN holder IS NULL THEN 'concurrent' ELSE 'taken' END;
    RETURN;
  END;
  INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, details, source_ip, request_id)
  VALUES (p_audit, 'acme:' || p_account, 'System', 'acme_account_key_rolled', 'acme_account', p_account,
          jsonb_build_object('old_thumbprint', p_old, 'new_thumbprint', p_new, 'profile_id', p_profile), p_source_ip,
          p_request);
  outcome := 'changed';
END $$;
