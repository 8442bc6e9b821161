-- The CA that signs leaves for an issuer now: the one that the issuer's configuration names, else
-- the active CA without CAs below it (04 section 5.4). A CA that retires issues until it is retired,
-- unless another one was put in its place or is there (04 section 5.5). One row an issuer, or none.
CREATE OR REPLACE VIEW issuing_cas AS
SELECT DISTINCT ON (c.issuer_id)
       c.id, c.issuer_id, c.subject_der, c.ski, c.chain_pem, c.key_ref, c.key_algorithm,
       c.not_before, c.not_after, c.row_version
  FROM ca_instances c
  JOIN issuers i ON i.id = c.issuer_id
 WHERE (c.state = 'active' OR (c.state = 'retiring' AND c.superseded_at IS NULL))
   AND i.enabled
   AND NOT EXISTS (SELECT 1
                     FROM intermediate_cas child
                    WHERE child.parent_ca_id = c.intermediate_ca_id
                      AND child.state <> 'retired')
 ORDER BY c.issuer_id, coalesce(i.config->>'tree_issuing_ca_id' = c.id::text, false) DESC, c.state = 'active' DESC,
          c.not_before DESC;
