-- +goose Up

-- Who has invited, while the membership is pending. Nodes of the previous version leave both empty, which is the careful reading:
-- such an invitation waits for the person's word. They go on to make members at once of persons who are vouched for.
ALTER TABLE memberships ADD COLUMN invited_by TEXT NOT NULL DEFAULT '';      -- e-mail address; '' = an operator, or not known
ALTER TABLE memberships ADD COLUMN by_operator BIGINT NOT NULL DEFAULT 0;    -- 1 = an operator has invited

UPDATE memberships SET by_operator = 1 WHERE accepted_at = 0 AND EXISTS (SELECT 1 FROM entry_links l
    WHERE l.person_id = memberships.person_id AND l.organisation_id = memberships.organisation_id AND l.proves = 1);

-- Where a sign-in leads to. Nodes of the previous version do not read it, and write no column that they do not name.
ALTER TABLE persons ADD COLUMN last_organisation TEXT NOT NULL DEFAULT '';   -- whose pages were used last; '' = none yet

-- +goose Down
ALTER TABLE persons DROP COLUMN last_organisation;
ALTER TABLE memberships DROP COLUMN by_operator;
ALTER TABLE memberships DROP COLUMN invited_by;
