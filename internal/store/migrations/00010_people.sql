-- +goose Up

-- Who signs in to the dashboard.
CREATE TABLE persons (
    id              TEXT PRIMARY KEY,
    email           TEXT NOT NULL UNIQUE,        -- trimmed, lower case
    name            TEXT NOT NULL DEFAULT '',
    password        TEXT NOT NULL DEFAULT '',    -- Argon2id, as a PHC string; '' = none
    subject         TEXT NOT NULL DEFAULT '',    -- at the identity provider, with its issuer; '' = never came from there
    proven          BIGINT NOT NULL DEFAULT 0,   -- 1 = that the address is theirs is vouched for: by an operator or the identity provider
    operator        BIGINT NOT NULL DEFAULT 0,
    disabled        BIGINT NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL,
    last_sign_in_at BIGINT NOT NULL DEFAULT 0
);

CREATE UNIQUE INDEX persons_by_subject ON persons (subject) WHERE subject <> '';

CREATE TABLE memberships (
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    person_id       TEXT NOT NULL REFERENCES persons (id),
    role            TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    accepted_at     BIGINT NOT NULL DEFAULT 0,   -- 0 = invited: it gives no right yet
    PRIMARY KEY (organisation_id, person_id)
);
CREATE INDEX memberships_by_person ON memberships (person_id);

CREATE TABLE sessions (
    id           TEXT PRIMARY KEY,
    person_id    TEXT NOT NULL REFERENCES persons (id),
    hash         TEXT NOT NULL UNIQUE,           -- SHA-256 of the token, hexadecimal
    address      TEXT NOT NULL DEFAULT '',
    user_agent   TEXT NOT NULL DEFAULT '',
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,                -- kept to about a minute
    expires_at   BIGINT NOT NULL                 -- moves on with it, up to a bound from the beginning
);
CREATE INDEX sessions_by_person ON sessions (person_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- One-time links: whoever follows one sets a name and a password. Taking one up deletes it.
CREATE TABLE entry_links (
    hash            TEXT PRIMARY KEY,            -- SHA-256 of the token, hexadecimal
    person_id       TEXT NOT NULL DEFAULT '',    -- whose link it is; '' = the set-up link of a new instance
    organisation_id TEXT NOT NULL DEFAULT '',    -- where the person is invited to; '' = a link for a new password
    proves          BIGINT NOT NULL DEFAULT 0,   -- 1 = an operator gave it out: whoever follows it owns the e-mail address
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);
CREATE INDEX entry_links_by_person ON entry_links (person_id);
CREATE INDEX entry_links_by_end ON entry_links (expires_at);

-- What signing in is limited by: tries within a span of time that begins with the first, and addresses that are known.
CREATE TABLE sign_in_counts (
    who        TEXT PRIMARY KEY,                 -- what is counted, and a hash of whom
    tries      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL                   -- when the span ends
);
CREATE INDEX sign_in_counts_by_end ON sign_in_counts (expires_at);

-- Who changed what. Rows are only added, and removed when their time is over. The actor stands here as it was called then.
CREATE TABLE audit_entries (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL DEFAULT '',    -- '' = of the whole instance
    actor_kind      TEXT NOT NULL,
    actor_id        TEXT NOT NULL DEFAULT '',
    actor_name      TEXT NOT NULL DEFAULT '',
    actor_address   TEXT NOT NULL DEFAULT '',
    action          TEXT NOT NULL,
    target          TEXT NOT NULL DEFAULT '',
    detail          TEXT NOT NULL DEFAULT '',    -- a JSON object; '' = nothing to say
    created_at      BIGINT NOT NULL
);
CREATE INDEX audit_entries_by_organisation ON audit_entries (organisation_id, id);
CREATE INDEX audit_entries_by_time ON audit_entries (created_at);

-- +goose Down
DROP TABLE audit_entries;
DROP TABLE sign_in_counts;
DROP TABLE entry_links;
DROP TABLE sessions;
DROP TABLE memberships;
DROP TABLE persons;
