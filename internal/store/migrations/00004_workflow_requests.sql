-- +goose Up

-- What the generations API keeps of a request, and the lists of generations.
ALTER TABLE generations ADD COLUMN workflow TEXT NOT NULL DEFAULT '';  -- the recipe's name; '' = none: it came by another API
ALTER TABLE generations ADD COLUMN request TEXT NOT NULL DEFAULT '';   -- kinora.WorkflowRequest; '' = none
ALTER TABLE generations ADD COLUMN parent_id TEXT NOT NULL DEFAULT ''; -- the generation that was regenerated; '' = none

CREATE INDEX generations_by_age ON generations (organisation_id, created_at, id);
CREATE INDEX generations_by_reference ON generations (organisation_id, reference, created_at, id) WHERE reference IS NOT NULL;

-- +goose Down
DROP INDEX generations_by_reference;
DROP INDEX generations_by_age;
ALTER TABLE generations DROP COLUMN parent_id;
ALTER TABLE generations DROP COLUMN request;
ALTER TABLE generations DROP COLUMN workflow;
