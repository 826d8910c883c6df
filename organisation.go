package kinora

import "time"

// Organisation is a tenant.
type Organisation struct {
	ID             string // "org_" + ULID
	Name           string
	DefaultWebhook string   // default callback URL; empty = none
	WebhookHosts   []string // allowlist: exact hosts or "*.suffix"; empty = any public host
	OperatorHook   string   // URL for events about endpoints, such as endpoint.disabled; empty = none
	Disabled       bool     // API access switched off
	Allowance      Allowance
	CreatedAt      time.Time
}

// Key is an API key. The key's text is never stored: only its SHA-256.
type Key struct {
	ID             string // "key_" + ULID
	OrganisationID string
	Name           string
	Start          string // first characters of the key, to tell keys apart
	CreatedAt      time.Time
	LastUsedAt     time.Time // zero = never; kept to about a minute
	RevokedAt      time.Time // zero = not revoked
	ExpiresAt      time.Time // when it ends by itself; zero = never
	ReplacedBy     string    // id of the key that a rotation made in its place; empty = none
}

// Live tells whether a key works at an instant.
func (k *Key) Live(at time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || at.Before(k.ExpiresAt))
}

// WebhookSecret is an organisation's signing secret in the clear, as its holder sees
// it. Kept only in memory; at rest it is sealed.
type WebhookSecret struct {
	ID        string // "sec_" + ULID
	Text      string // "whsec_" + base64 of 32 random bytes, or an imported text
	CreatedAt time.Time
	ExpiresAt time.Time // zero = the current secret; else signs beside it until then
}

// Upload is a file that a caller put into temporary storage.
type Upload struct {
	ID             string // 32 hexadecimal digits
	OrganisationID string
	BlobKey        string
	Kind           Kind
	ContentType    string
	Bytes          int64
	OriginalName   string
	CreatedAt      time.Time
	ExpiresAt      time.Time
}
