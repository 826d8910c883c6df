-- +goose Up

-- One text for SQLite and PostgreSQL. Times are microseconds since 1970 UTC, 0 = never.
-- JSON is text. Booleans are 0 or 1.

CREATE TABLE organisations (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    default_webhook TEXT NOT NULL DEFAULT '',   -- default callback URL; '' = none
    webhook_hosts   TEXT NOT NULL DEFAULT '[]', -- JSON list: allowlist of hosts; empty = any public host
    operator_hook   TEXT NOT NULL DEFAULT '',   -- where events about endpoints go; '' = nowhere
    disabled        BIGINT NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL
);

-- Where an organisation's events go beside each request's own URL or the default callback
-- URL. The default has a row too, once there is something to say about its health: its id is
-- the organisation's with another prefix, and of its settings only the url is used.
CREATE TABLE endpoints (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    name            TEXT NOT NULL,              -- the default's is 'default'
    url             TEXT NOT NULL,
    description     TEXT NOT NULL DEFAULT '',
    event_types     TEXT NOT NULL DEFAULT '[]', -- JSON list; empty = all
    header_names    TEXT NOT NULL DEFAULT '[]', -- JSON list: of the headers that are sent with each delivery
    headers         TEXT NOT NULL DEFAULT '',   -- those headers, encrypted; '' = none; see package seal
    rate            BIGINT NOT NULL DEFAULT 0,  -- deliveries a second; 0 = no limit
    failing_since   BIGINT NOT NULL DEFAULT 0,  -- first failed attempt since a success
    failures        BIGINT NOT NULL DEFAULT 0,  -- failed attempts since then, counted up to what disables
    disabled_at     BIGINT NOT NULL DEFAULT 0,  -- 0 = enabled
    disabled_reason TEXT NOT NULL DEFAULT '',
    missed_since    BIGINT NOT NULL DEFAULT 0,  -- deliveries that died from then on were missed
    replay_from     BIGINT NOT NULL DEFAULT 0,  -- what died between these two is being replayed; 0 = nothing is
    replay_until    BIGINT NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    UNIQUE (organisation_id, name)
);
CREATE INDEX endpoints_replaying ON endpoints (id) WHERE replay_from > 0;

CREATE TABLE keys (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    name            TEXT NOT NULL,
    start           TEXT NOT NULL,        -- first characters, for people
    hash            TEXT NOT NULL UNIQUE, -- SHA-256 of the whole key, hexadecimal
    created_at      BIGINT NOT NULL,
    last_used_at    BIGINT NOT NULL DEFAULT 0,
    revoked_at      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX keys_by_organisation ON keys (organisation_id);

CREATE TABLE webhook_secrets (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    sealed          TEXT NOT NULL,             -- encrypted text; see package seal
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL DEFAULT 0  -- 0 = the current secret
);
CREATE INDEX webhook_secrets_by_organisation ON webhook_secrets (organisation_id);

CREATE TABLE generations (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    surface         TEXT NOT NULL,
    model           TEXT NOT NULL,
    kind            TEXT NOT NULL,
    state           TEXT NOT NULL,
    progress        BIGINT NOT NULL DEFAULT 0,
    input           TEXT NOT NULL,            -- kinora.Input
    reference       TEXT,                     -- NULL = not sent
    metadata        TEXT,                     -- as sent; NULL = not sent
    webhook_url     TEXT NOT NULL DEFAULT '',
    failure_code    TEXT NOT NULL DEFAULT '',
    failure_message TEXT NOT NULL DEFAULT '',
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    completed_at    BIGINT NOT NULL DEFAULT 0,
    deadline_at     BIGINT NOT NULL
);

CREATE INDEX generations_done ON generations (completed_at) WHERE completed_at > 0;

-- A generation's work. Rows with due_at > 0 are claimable; a claimed row has a lease
-- owner and due_at 0. Every write of a step names the version it read.
CREATE TABLE attempts (
    generation_id   TEXT NOT NULL REFERENCES generations (id),
    ordinal         BIGINT NOT NULL,
    organisation_id TEXT NOT NULL,
    lane            TEXT NOT NULL,             -- the accounts it may run on; lanes never wait for each other
    model           TEXT NOT NULL,
    provider        TEXT NOT NULL,
    account         TEXT NOT NULL DEFAULT '',
    upstream_model  TEXT NOT NULL DEFAULT '',
    state           TEXT NOT NULL,
    upstream_id     TEXT NOT NULL DEFAULT '',
    handle          TEXT NOT NULL DEFAULT '',
    callback_hash   TEXT NOT NULL DEFAULT '',  -- of the token in the inbound URL's path; the token itself is nowhere
    callback_mode   TEXT NOT NULL DEFAULT 'none',
    due_at          BIGINT NOT NULL DEFAULT 0,
    hinted_at       BIGINT NOT NULL DEFAULT 0, -- when the last callback came; negative once a look was claimed for it
    lease_owner     TEXT NOT NULL DEFAULT '',
    version         BIGINT NOT NULL DEFAULT 0,
    tries           BIGINT NOT NULL DEFAULT 0,
    polls           BIGINT NOT NULL DEFAULT 0,
    read_errors     BIGINT NOT NULL DEFAULT 0,
    result          TEXT NOT NULL DEFAULT '',
    error_class     TEXT NOT NULL DEFAULT '',
    error_code      TEXT NOT NULL DEFAULT '',
    error_message   TEXT NOT NULL DEFAULT '',
    created_at      BIGINT NOT NULL,
    submitted_at    BIGINT NOT NULL DEFAULT 0,
    accepted_at     BIGINT NOT NULL DEFAULT 0,
    done_at         BIGINT NOT NULL DEFAULT 0,
    finished_at     BIGINT NOT NULL DEFAULT 0,
    deadline_at     BIGINT NOT NULL,
    PRIMARY KEY (generation_id, ordinal)
);
CREATE INDEX attempts_due ON attempts (lane, state, due_at) WHERE due_at > 0;
CREATE INDEX attempts_deadline ON attempts (deadline_at) WHERE finished_at = 0;
CREATE INDEX attempts_leased ON attempts (lease_owner) WHERE lease_owner <> '';
-- What holds a slot at an account.
CREATE INDEX attempts_in_flight ON attempts (account) WHERE state IN ('submitting', 'unsettled', 'open');
CREATE UNIQUE INDEX attempts_by_callback ON attempts (callback_hash) WHERE callback_hash <> '';

-- What was submitted at accounts that have a daily limit.
CREATE TABLE account_days (
    account TEXT NOT NULL,
    day     BIGINT NOT NULL,                   -- its beginning, UTC
    submits BIGINT NOT NULL,
    PRIMARY KEY (account, day)
);

CREATE TABLE outputs (
    id            TEXT PRIMARY KEY,
    generation_id TEXT NOT NULL REFERENCES generations (id),
    ordinal       BIGINT NOT NULL,
    blob_key      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    content_type  TEXT NOT NULL,
    bytes         BIGINT NOT NULL,
    sha256        TEXT NOT NULL,
    width         BIGINT NOT NULL,
    height        BIGINT NOT NULL,
    duration_us   BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,           -- when retention removes the file
    removed_at    BIGINT NOT NULL DEFAULT 0,
    UNIQUE (generation_id, ordinal)
);
CREATE INDEX outputs_expiring ON outputs (expires_at) WHERE removed_at = 0;

-- One entry per succeeded generation, never changed.
CREATE TABLE usage_entries (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    generation_id   TEXT NOT NULL UNIQUE,
    usage_type      TEXT NOT NULL,
    model           TEXT NOT NULL,
    outputs         BIGINT NOT NULL,
    amount_micros   BIGINT NOT NULL DEFAULT 0, -- millionths of a US dollar
    created_at      BIGINT NOT NULL
);

CREATE TABLE events (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    generation_id   TEXT UNIQUE,               -- exactly one per terminal generation; NULL = about something else
    type            TEXT NOT NULL,
    body            TEXT NOT NULL DEFAULT '',  -- as it is sent; '' = made from the generation for each attempt
    created_at      BIGINT NOT NULL,
    position        BIGINT NOT NULL DEFAULT 0  -- in the organisation's stream; 0 = nobody has listened since
);
CREATE INDEX events_streamed ON events (organisation_id, position, created_at);
CREATE INDEX events_apart ON events (created_at) WHERE generation_id IS NULL;

CREATE TABLE deliveries (
    id              TEXT PRIMARY KEY,
    event_id        TEXT NOT NULL REFERENCES events (id),
    event_type      TEXT NOT NULL,
    organisation_id TEXT NOT NULL,
    generation_id   TEXT NOT NULL,             -- '' = none
    endpoint_id     TEXT NOT NULL DEFAULT '',  -- '' = the request's own URL, or the operator hook
    url             TEXT NOT NULL,
    destination     TEXT NOT NULL,             -- organisation and endpoint, or organisation, scheme, host and port
    state           TEXT NOT NULL,
    retry           BIGINT NOT NULL DEFAULT 0, -- 0 = first attempt; retries are claimed apart
    attempts        BIGINT NOT NULL DEFAULT 0,
    schedule_from   BIGINT NOT NULL DEFAULT 0, -- attempts made before it was last revived
    replay_id       TEXT NOT NULL DEFAULT '',  -- the replay that revived it last
    due_at          BIGINT NOT NULL DEFAULT 0,
    lease_owner     TEXT NOT NULL DEFAULT '',
    version         BIGINT NOT NULL DEFAULT 0,
    last_status     BIGINT NOT NULL DEFAULT 0,
    last_error      TEXT NOT NULL DEFAULT '',
    created_at      BIGINT NOT NULL,
    finished_at     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_due ON deliveries (retry, due_at) WHERE due_at > 0;
CREATE INDEX deliveries_due_by_destination ON deliveries (destination, due_at) WHERE due_at > 0;
CREATE INDEX deliveries_held ON deliveries (destination, created_at) WHERE state = 'held';
-- What searches begin with; see delivery_search.go. Ids sort by time.
CREATE INDEX deliveries_by_organisation ON deliveries (organisation_id, id);
CREATE INDEX deliveries_undelivered ON deliveries (id) WHERE state <> 'delivered';
CREATE INDEX deliveries_dead ON deliveries (organisation_id, id) WHERE state = 'dead';
CREATE INDEX deliveries_not_completed ON deliveries (id) WHERE event_type <> 'generation.completed';
CREATE INDEX deliveries_replayed ON deliveries (replay_id, state) WHERE replay_id <> '';
CREATE INDEX deliveries_missed ON deliveries (endpoint_id, finished_at) WHERE state = 'dead' AND endpoint_id <> '';
CREATE INDEX deliveries_leased ON deliveries (lease_owner) WHERE lease_owner <> '';
CREATE INDEX deliveries_by_event ON deliveries (event_id);
CREATE INDEX deliveries_done ON deliveries (finished_at) WHERE state = 'delivered';

CREATE TABLE delivery_attempts (
    delivery_id  TEXT NOT NULL,
    number       BIGINT NOT NULL,
    started_at   BIGINT NOT NULL,
    duration_us  BIGINT NOT NULL,
    status       BIGINT NOT NULL,
    fault        TEXT NOT NULL,
    error        TEXT NOT NULL,
    address      TEXT NOT NULL,
    dns_us       BIGINT NOT NULL,
    connect_us   BIGINT NOT NULL,
    tls_us       BIGINT NOT NULL,
    first_byte_us BIGINT NOT NULL,
    sent         TEXT NOT NULL,                -- kinora.SentRequest; '' = nothing was sent
    response_head TEXT NOT NULL,
    response     TEXT NOT NULL,
    next_at      BIGINT NOT NULL,
    PRIMARY KEY (delivery_id, number)
);

-- Deliveries being revived, oldest first. A row with a lease owner is worked on; every step
-- names the version it read, and commits the position with what it revived.
CREATE TABLE replays (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    filter          TEXT NOT NULL,             -- kinora.ReplayFilter
    rate            BIGINT NOT NULL,           -- deliveries a second
    state           TEXT NOT NULL,
    position        TEXT NOT NULL DEFAULT '',  -- id of the last delivery that it has been through
    end_id          TEXT NOT NULL,             -- deliveries from here on are not its concern
    total           BIGINT NOT NULL DEFAULT -1, -- -1 = not counted yet
    revived         BIGINT NOT NULL DEFAULT 0,
    passed          BIGINT NOT NULL DEFAULT 0,
    lease_owner     TEXT NOT NULL DEFAULT '',
    version         BIGINT NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    finished_at     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX replays_by_organisation ON replays (organisation_id, id);
CREATE INDEX replays_running ON replays (id) WHERE state = 'running';
CREATE INDEX replays_ended ON replays (finished_at) WHERE finished_at > 0;

-- Test events. The one attempt of each is in delivery_attempts.
CREATE TABLE trials (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    endpoint_id     TEXT NOT NULL,             -- '' = to a URL, or the organisation's default
    url             TEXT NOT NULL,
    event_id        TEXT NOT NULL,
    job_id          TEXT NOT NULL,             -- of a generation that never was
    created_at      BIGINT NOT NULL
);
CREATE INDEX trials_by_organisation ON trials (organisation_id, id);
CREATE INDEX trials_by_age ON trials (created_at);

CREATE TABLE uploads (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    blob_key        TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL,
    content_type    TEXT NOT NULL,
    bytes           BIGINT NOT NULL,
    original_name   TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);
CREATE INDEX uploads_expiring ON uploads (expires_at);

CREATE TABLE idempotency_keys (
    organisation_id TEXT NOT NULL,
    scope           TEXT NOT NULL,             -- method and route
    idempotency_key TEXT NOT NULL,
    request_hash    TEXT NOT NULL,
    generation_id   TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, scope, idempotency_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Server processes that share this database.
CREATE TABLE nodes (
    id          TEXT PRIMARY KEY,
    master_keys TEXT NOT NULL DEFAULT '',       -- ids of the master keys it has, the current one first
    started_at  BIGINT NOT NULL,
    beat_at     BIGINT NOT NULL
);

-- What generations of a model took upstream, newest last, for the watcher's pace.
CREATE TABLE learnt_durations (
    model      TEXT PRIMARY KEY,
    samples    TEXT NOT NULL,                  -- JSON list of milliseconds
    updated_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE learnt_durations;
DROP TABLE nodes;
DROP TABLE idempotency_keys;
DROP TABLE uploads;
DROP TABLE trials;
DROP TABLE replays;
DROP TABLE delivery_attempts;
DROP TABLE deliveries;
DROP TABLE events;
DROP TABLE usage_entries;
DROP TABLE outputs;
DROP TABLE account_days;
DROP TABLE attempts;
DROP TABLE generations;
DROP TABLE webhook_secrets;
DROP TABLE keys;
DROP TABLE endpoints;
DROP TABLE organisations;
