package store

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

const generationColumns = `id, organisation_id, surface, model, kind, state, progress, input, reference, metadata,
	webhook_url, failure_code, failure_message, created_at, updated_at, completed_at, deadline_at, source_asset_id, workflow, request, parent_id, plan,
	usage_type, fingerprint, price_micros, awaited_asset_id`

var insertGeneration = insertInto("generations", generationColumns)

// insertInto is the statement that inserts a row of these columns.
func insertInto(table, columns string) string {
	marks := strings.Repeat(",?", strings.Count(columns, ",")+1)[1:]
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + marks + ")"
}

// InsertGeneration writes a new generation.
func (tx *Tx) InsertGeneration(g *kinora.Generation) error {
	input, plan, err := encodeWork(g)
	if err != nil {
		return err
	}
	var metadata sql.NullString
	if g.Metadata != nil {
		metadata = sql.NullString{String: string(g.Metadata), Valid: true}
	}
	var workflow, request string
	if g.Request != nil {
		text, err := json.Marshal(g.Request)
		if err != nil {
			return fmt.Errorf("store: encode the workflow request: %w", err)
		}
		workflow, request = g.Request.Workflow, string(text)
	}
	_, err = tx.Exec(insertGeneration,
		g.ID, g.OrganisationID, string(g.Surface), g.Model, string(g.Kind), string(g.State), g.Progress, input,
		g.Reference, metadata, g.WebhookURL, "", "",
		Micros(g.CreatedAt), Micros(g.UpdatedAt), Micros(g.CompletedAt), Micros(g.DeadlineAt), g.SourceAssetID, workflow, request, g.ParentID, plan,
		string(cmp.Or(g.UsageType, kinora.UsageGeneration)), g.Fingerprint, int64(g.Price), g.AwaitedAssetID)
	return err
}

// encodeWork returns what a generation is made from and by as their columns have it; equal ones have equal texts. The zero
// Plan, which most generations have, is spared a text.
func encodeWork(g *kinora.Generation) (input, plan string, err error) {
	text, err := json.Marshal(g.Input)
	if err != nil {
		return "", "", fmt.Errorf("store: encode input: %w", err)
	}
	input = string(text)
	if g.Plan == (kinora.Plan{}) {
		return input, "", nil
	}
	if text, err = json.Marshal(g.Plan); err != nil {
		return "", "", fmt.Errorf("store: encode plan: %w", err)
	}
	return input, string(text), nil
}

// Generation reads one generation, or ErrNotFound. An empty organisation reads any;
// otherwise another organisation's generation is not found.
func (tx *Tx) Generation(organisation, id string) (*kinora.Generation, error) {
	return scanGeneration(tx.QueryRow(`SELECT `+generationColumns+` FROM generations WHERE id = ? AND (? = '' OR organisation_id = ?)`,
		id, organisation, organisation))
}

func scanGeneration(row Row) (*kinora.Generation, error) {
	var (
		g                                     kinora.Generation
		surface, kind, state, input           string
		reference, metadata                   sql.NullString
		code, message, plan                   string
		created, updated, completed, deadline int64
		workflow, request                     string
		usageType                             string
		price                                 int64
	)
	err := row.Scan(&g.ID, &g.OrganisationID, &surface, &g.Model, &kind, &state, &g.Progress, &input, &reference, &metadata,
		&g.WebhookURL, &code, &message, &created, &updated, &completed, &deadline, &g.SourceAssetID, &workflow, &request, &g.ParentID, &plan,
		&usageType, &g.Fingerprint, &price, &g.AwaitedAssetID)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(input), &g.Input); err != nil {
		return nil, fmt.Errorf("store: decode input of %s: %w", g.ID, err)
	}
	if request != "" {
		g.Request = new(kinora.WorkflowRequest)
		if err := json.Unmarshal([]byte(request), g.Request); err != nil {
			return nil, fmt.Errorf("store: decode the workflow request of %s: %w", g.ID, err)
		}
	}
	if plan != "" {
		if err := json.Unmarshal([]byte(plan), &g.Plan); err != nil {
			return nil, fmt.Errorf("store: decode plan of %s: %w", g.ID, err)
		}
	}
	g.UsageType, g.Price = kinora.UsageType(usageType), kinora.Money(price)
	g.Surface, g.Kind, g.State = kinora.Surface(surface), kinora.Kind(kind), kinora.GenerationState(state)
	if g.State == kinora.GenerationIngesting {
		g.SourceAssetID = "" // there may never be an asset of that id
	}
	if reference.Valid {
		g.Reference = &reference.String
	}
	if metadata.Valid {
		g.Metadata = json.RawMessage(metadata.String)
	}
	if code != "" {
		g.Failure = kinora.NewFailure(kinora.FailureCode(code), message)
	}
	g.CreatedAt, g.UpdatedAt, g.CompletedAt, g.DeadlineAt = Time(created), Time(updated), Time(completed), Time(deadline)
	return &g, nil
}

// StartGeneration moves a queued generation to running; one that already left the queue
// is left as it is.
func (tx *Tx) StartGeneration(id string, now time.Time) error {
	_, err := tx.Exec(`UPDATE generations SET state = 'running', updated_at = ? WHERE id = ? AND state = 'queued'`, Micros(now), id)
	return err
}

// LockGeneration reads where a generation stands, and on PostgreSQL keeps others from moving
// it on until the transaction ends. Whoever also writes attempts of it does so before: all
// lock in that order.
func (tx *Tx) LockGeneration(id string) (kinora.GenerationState, error) {
	var state string
	err := tx.QueryRow(`SELECT state FROM generations WHERE id = ? {for update}`, id).Scan(&state)
	return kinora.GenerationState(state), err
}

// ExtendDeadline moves a generation's deadline to a later time.
func (tx *Tx) ExtendDeadline(id string, deadline time.Time) error {
	_, err := tx.Exec(`UPDATE generations SET deadline_at = ? WHERE id = ? AND deadline_at < ?`, Micros(deadline), id, Micros(deadline))
	return err
}

// RaiseProgress sets the progress of running generations; it never lowers it.
func (tx *Tx) RaiseProgress(progress map[string]int, now time.Time) error {
	sets := make([][]any, 0, len(progress))
	for _, id := range slices.Sorted(maps.Keys(progress)) { // two looks may see parts of the same ones
		p := progress[id]
		sets = append(sets, []any{p, Micros(now), id, p})
	}
	_, err := tx.ExecMany(`UPDATE generations SET progress = ?, updated_at = ? WHERE id = ? AND state = 'running' AND progress < ?`, sets)
	return err
}

// FinishGeneration writes g's terminal state, guarded by the state machine: the row must
// still be in a state from which g.State can be reached, else ErrStale. An end without
// success is counted here; the caller counts a success with InsertUsage.
func (tx *Tx) FinishGeneration(g *kinora.Generation) error {
	var code, message string
	if g.Failure != nil {
		code, message = string(g.Failure.Code), g.Failure.Message
	}
	n, err := tx.Exec(`UPDATE generations SET state = ?, progress = CASE WHEN ? > progress THEN ? ELSE progress END,
		failure_code = ?, failure_message = ?, updated_at = ?, completed_at = ?,
		awaited_asset_id = CASE WHEN state = 'ingesting' THEN source_asset_id ELSE '' END,
		source_asset_id = CASE WHEN state = 'ingesting' THEN '' ELSE source_asset_id END
		WHERE id = ? AND state IN ('ingesting', 'queued', 'running')`,
		string(g.State), g.Progress, g.Progress, code, message, Micros(g.UpdatedAt), Micros(g.CompletedAt), g.ID)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrStale
	}
	if g.State != kinora.GenerationSucceeded {
		return tx.countFailure(g)
	}
	return nil
}

// EndedOf returns those of the generations that have ended.
func (tx *Tx) EndedOf(ids []string) ([]string, error) {
	var ended []string
	err := tx.queryEach(`SELECT id FROM generations WHERE id = ? AND completed_at > 0`, ids, func(row Row) error {
		var id string
		err := row.Scan(&id)
		ended = append(ended, id)
		return err
	})
	return ended, err
}

// InsertOutputs writes the outputs of an attempt; retention is how long their files are kept.
func (tx *Tx) InsertOutputs(outputs []kinora.Output, retention time.Duration) error {
	sets := make([][]any, len(outputs))
	for i, o := range outputs {
		verdict := ""
		if o.Verdict != nil {
			text, err := json.Marshal(o.Verdict)
			if err != nil {
				return fmt.Errorf("store: encode verdict: %w", err)
			}
			verdict = string(text)
		}
		sets[i] = []any{o.ID, o.GenerationID, o.Attempt, o.Place, string(o.State), o.Ordinal, verdict, o.BlobKey, string(o.Kind), o.ContentType, o.Bytes, o.SHA256,
			o.Width, o.Height, o.Duration.Microseconds(), Micros(o.CreatedAt), Micros(o.CreatedAt.Add(retention))}
	}
	_, err := tx.ExecMany(`INSERT INTO outputs (id, generation_id, attempt, place, state, ordinal, verdict, blob_key, kind, content_type, bytes, sha256,
		width, height, duration_us, created_at, expires_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, sets)
	return err
}

// PublishOutputs writes the state and place of outputs that are published or rejected.
// Files of published ones are kept for retention from now on.
func (tx *Tx) PublishOutputs(outputs []kinora.Output, now time.Time, retention time.Duration) error {
	sets := make([][]any, len(outputs))
	for i, o := range outputs {
		sets[i] = []any{string(o.State), o.Ordinal, o.Ordinal, Micros(now.Add(retention)), o.ID}
	}
	_, err := tx.ExecMany(`UPDATE outputs SET state = ?, ordinal = ?, expires_at = CASE WHEN ? < 0 THEN expires_at ELSE ? END WHERE id = ?`, sets)
	return err
}

const outputColumns = `id, generation_id, attempt, place, state, verdict, ordinal, blob_key, kind, content_type, bytes, sha256, width, height, duration_us, created_at, removed_at`

// Candidates reads all outputs of a generation, published or not and kept or not, in the
// order in which they were asked for.
func (tx *Tx) Candidates(generationID string) ([]kinora.Output, error) {
	return tx.outputs(`SELECT `+outputColumns+` FROM outputs WHERE generation_id = ? ORDER BY attempt, place`, generationID)
}

// Outputs reads the published outputs of a generation whose files are still kept, in order.
func (tx *Tx) Outputs(generationID string) ([]kinora.Output, error) {
	return tx.outputs(`SELECT `+outputColumns+` FROM outputs WHERE generation_id = ? AND removed_at = 0 AND state = 'published' ORDER BY ordinal`, generationID)
}

// ExpiredOutputs reads outputs whose retention has ended and whose file is still there. Those
// of a generation that goes on, such as one that waits for a review, are kept.
func (tx *Tx) ExpiredOutputs(now time.Time, limit int) ([]kinora.Output, error) {
	return tx.outputs(`SELECT `+outputColumns+` FROM outputs o WHERE removed_at = 0 AND expires_at <= ?
		AND EXISTS (SELECT 1 FROM generations g WHERE g.id = o.generation_id AND g.completed_at > 0) ORDER BY expires_at LIMIT ?`, Micros(now), limit)
}

func (tx *Tx) outputs(query string, args ...any) ([]kinora.Output, error) {
	var list []kinora.Output
	err := tx.Query(query, args, func(row Row) error {
		o, err := scanOutput(row)
		list = append(list, o)
		return err
	})
	return list, err
}

func scanOutput(row Row) (o kinora.Output, err error) {
	var (
		state, verdict, kind       string
		duration, created, removed int64
	)
	if err := row.Scan(&o.ID, &o.GenerationID, &o.Attempt, &o.Place, &state, &verdict, &o.Ordinal, &o.BlobKey, &kind, &o.ContentType, &o.Bytes, &o.SHA256,
		&o.Width, &o.Height, &duration, &created, &removed); err != nil {
		return o, err
	}
	o.State, o.Kind, o.Duration = kinora.OutputState(state), kinora.Kind(kind), time.Duration(duration)*time.Microsecond
	o.CreatedAt, o.RemovedAt = Time(created), Time(removed)
	if verdict != "" {
		o.Verdict = &kinora.Verdict{}
		if err := json.Unmarshal([]byte(verdict), o.Verdict); err != nil {
			return o, fmt.Errorf("store: decode verdict of %s: %w", o.ID, err)
		}
	}
	o.Role = "alternate"
	if o.Ordinal == 0 {
		o.Role = "primary"
	}
	return o, nil
}

// PurgeGenerations removes the records of generations that ended before an instant, at
// most limit of them, with everything that hangs on them but the usage ledger. Those
// with files still kept, or with a delivery still on its way, stay.
func (tx *Tx) PurgeGenerations(before time.Time, limit int) (int64, error) {
	var ids [][]any
	err := tx.Query(`SELECT id FROM generations g WHERE completed_at > 0 AND completed_at <= ?
		AND NOT EXISTS (SELECT 1 FROM outputs o WHERE o.generation_id = g.id AND o.removed_at = 0)
		AND NOT EXISTS (SELECT 1 FROM events e JOIN deliveries d ON d.event_id = e.id
			WHERE e.generation_id = g.id AND d.state IN ('pending', 'held'))
		ORDER BY completed_at LIMIT ?`, []any{Micros(before), limit}, func(row Row) error {
		var id string
		err := row.Scan(&id)
		ids = append(ids, []any{id})
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, stmt := range []string{
		`DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT d.id FROM deliveries d JOIN events e ON d.event_id = e.id WHERE e.generation_id = ?)`,
		`DELETE FROM deliveries WHERE event_id IN (SELECT id FROM events WHERE generation_id = ?)`,
		`DELETE FROM events WHERE generation_id = ?`,
		`DELETE FROM outputs WHERE generation_id = ?`,
		`DELETE FROM reviews WHERE generation_id = ?`,
		`DELETE FROM attempts WHERE generation_id = ?`,
		`DELETE FROM generations WHERE id = ?`,
	} {
		if _, err := tx.ExecMany(stmt, ids); err != nil {
			return 0, err
		}
	}
	return int64(len(ids)), nil
}
