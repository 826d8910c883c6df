package kinora

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// UsageType says how a generation came about, for the ledger (generations API contract 12).
type UsageType string

const (
	UsageGeneration   UsageType = "generation"
	UsageRegeneration UsageType = "regeneration" // of an earlier generation
	UsageCacheHit     UsageType = "cache_hit"    // an earlier generation's approved outputs; never billable
)

// Prices are what generations cost. A workflow's price holds for what it makes, whatever
// model it uses; what is not named costs nothing. The unit is one generation that succeeded,
// however many outputs it has, so that what it will cost is known when it is accepted.
type Prices struct {
	Models    map[string]Money
	Workflows map[string]Money
}

// Of is the price of a generation; an empty workflow is none.
func (p Prices) Of(model, workflow string) Money {
	if price, ok := p.Workflows[workflow]; ok && workflow != "" {
		return price
	}
	return p.Models[model]
}

// UsageEntry is one line of the ledger. It is written once, in the transaction in which its
// generation succeeds, and never changed; it outlives the generation's record.
type UsageEntry struct {
	ID             string // "bev_" + ULID
	OrganisationID string
	GenerationID   string
	SourceAssetID  string // empty = none
	Type           UsageType
	Fingerprint    string
	Model          string
	Outputs        int
	Billable       bool
	UnitPrice      Money
	Amount         Money // UnitPrice where billable, else 0
	CreatedAt      time.Time
}

// Usage is what an organisation has used in a billing period. A generation counts in the
// period in which it ended.
type Usage struct {
	Succeeded     int64
	Failed        int64 // cancelled ones too
	InFlight      int64 // not ended yet, now
	Outputs       int64 // published
	Regenerations int64 // ended or in flight
	CacheHits     int64
	Billable      int64 // succeeded ones that the ledger calls billable
	Amount        Money // the ledger's sum
	Reserved      Money // what those in flight will cost if all of them succeed
}

// BillingPeriod is the calendar month of UTC that an instant lies in.
func BillingPeriod(at time.Time) (start, end time.Time) {
	year, month, _ := at.UTC().Date()
	start = time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	return start, start.AddDate(0, 1, 0)
}

// Fingerprint is the config_fingerprint of a workflow's generation: the SHA-256, in
// lower-case hex, over the canonical JSON of what was asked for and of the source's content
// (generations API contract 12). Equal for equal configurations, in whatever order the rooms
// were named. An empty sourceSHA256 stands for no source.
func Fingerprint(r WorkflowRequest, sourceSHA256 string) string {
	rooms := append([]string{}, r.RoomTypes...)
	slices.Sort(rooms)
	config := map[string]any{
		"workflow": r.Workflow, "capture_type": r.CaptureType, "mode": r.Mode, "room_types": rooms,
		"style_preset": r.StylePreset, "source_sha256": sourceSHA256,
	}
	if len(r.Fields) > 0 {
		config["fields"] = r.Fields
	}
	return fingerprint(config)
}

// InputFingerprint is the config_fingerprint of a generation that no workflow made.
func InputFingerprint(model string, in Input) string {
	in.CallbackURL, in.CallbackIgnored = "", false // who is told changes nothing about what is made
	return fingerprint(map[string]any{"model": model, "input": in})
}

// fingerprint hashes canonical JSON: sorted keys, no white space, numbers as they were written.
func fingerprint(v any) string {
	text, err := json.Marshal(v)
	if err == nil {
		// Once through generic values, so that the keys of raw parts are sorted too.
		var generic any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err = d.Decode(&generic); err == nil {
			var canonical bytes.Buffer
			e := json.NewEncoder(&canonical)
			e.SetEscapeHTML(false)
			err = e.Encode(generic)
			text = bytes.TrimSuffix(canonical.Bytes(), []byte("\n"))
		}
	}
	if err != nil {
		// A raw part that is no JSON: surfaces parse theirs, so only a program's own mistake.
		panic("kinora: fingerprint: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
