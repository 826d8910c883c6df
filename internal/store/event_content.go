package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kinora/kinora"
)

// EventContent is what the body of an event's deliveries is made of.
type EventContent struct {
	Event      *kinora.Event
	Generation *kinora.Generation // without its Input; nil where the event is not about one
	Outputs    []kinora.Output    // those whose files are still kept, in order
}

// selectEventContent is a query up to the condition on outputs: one row for each output, or
// one without any.
const selectEventContent = `SELECT e.id, e.organisation_id, e.type, e.body, e.created_at, coalesce(g.id, ''), coalesce(g.surface, ''), coalesce(g.model, ''),
		coalesce(g.kind, ''), coalesce(g.state, ''), g.reference, g.metadata, coalesce(g.failure_code, ''), coalesce(g.failure_message, ''),
		coalesce(g.created_at, 0), coalesce(g.completed_at, 0), coalesce(g.source_asset_id, ''),
		coalesce(o.id, ''), coalesce(o.ordinal, 0), coalesce(o.blob_key, ''), coalesce(o.kind, ''), coalesce(o.content_type, ''),
		coalesce(o.bytes, 0), coalesce(o.sha256, ''), coalesce(o.width, 0), coalesce(o.height, 0), coalesce(o.duration_us, 0), coalesce(o.created_at, 0)
	FROM events e LEFT JOIN generations g ON g.id = e.generation_id
	LEFT JOIN outputs o ON o.generation_id = g.id AND o.state = 'published'`

// EventContents reads events with their generations and outputs, by the events' ids. An
// event that is not there, or whose generation is not, is left out.
func (tx *Tx) EventContents(eventIDs []string) (map[string]*EventContent, error) {
	contents := make(map[string]*EventContent, len(eventIDs))
	eventIDs = slices.Compact(slices.Sorted(slices.Values(eventIDs))) // each output once
	add := func(row Row) error {
		c, o, err := scanEventContent(row)
		if err != nil {
			return err
		}
		if known := contents[c.Event.ID]; known != nil {
			c = known
		}
		contents[c.Event.ID] = c
		if o.ID != "" {
			c.Outputs = append(c.Outputs, o)
		}
		return nil
	}
	query := selectEventContent + ` AND o.removed_at = 0 WHERE e.id = ? AND (g.id IS NOT NULL OR e.generation_id IS NULL) ORDER BY o.ordinal`
	if tx.pg == nil {
		return contents, tx.queryEach(query, eventIDs, add)
	}
	query = strings.Replace(query, "e.id = ?", "e.id = ANY($1)", 1)
	return contents, classify("read", tx.alongIndexes(query, []any{eventIDs}, add))
}

// EventContentAt reads an event with its generation and the outputs whose files were kept at
// an instant, or ErrNotFound.
func (tx *Tx) EventContentAt(eventID string, at time.Time) (*EventContent, error) {
	var content *EventContent
	err := tx.Query(selectEventContent+` AND (o.removed_at = 0 OR o.removed_at > ?) WHERE e.id = ? AND (g.id IS NOT NULL OR e.generation_id IS NULL) ORDER BY o.ordinal`,
		[]any{Micros(at), eventID}, func(row Row) error {
			c, o, err := scanEventContent(row)
			if err != nil {
				return err
			}
			if content == nil {
				content = c
			}
			if o.ID != "" {
				content.Outputs = append(content.Outputs, o)
			}
			return nil
		})
	if err == nil && content == nil {
		return nil, ErrNotFound
	}
	return content, err
}

// queryEach runs one query once for each key, pipelined in one round trip on PostgreSQL.
func (tx *Tx) queryEach(query string, keys []string, scan func(Row) error) error {
	if len(keys) == 0 {
		return nil
	}
	text := tx.db.rebind(query)
	if tx.pg == nil {
		return classify("read", tx.lite.queryEach(tx.ctx, text, keys, scan))
	}
	var b pgx.Batch
	for _, key := range keys {
		b.Queue(text, key).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				if err := scan(rows); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	}
	return classify("read", tx.pg.SendBatch(tx.ctx, &b).Close())
}

func (c liteConn) queryEach(ctx context.Context, text string, keys []string, scan func(Row) error) error {
	var (
		st  *sql.Stmt
		err error
	)
	if c.tx == nil {
		st, err = c.prepared(ctx, text)
	} else if st, err = c.tx.PrepareContext(ctx, text); err == nil {
		defer func() { _ = st.Close() }()
	}
	if err != nil {
		return err
	}
	for _, key := range keys {
		rows, err := st.QueryContext(ctx, key)
		if err != nil {
			return c.note(err)
		}
		for err == nil && rows.Next() {
			err = scan(rows)
		}
		if failed := errors.Join(rows.Err(), rows.Close()); failed != nil {
			return c.note(failed)
		}
		if err != nil {
			return err // scan's own: no statement has failed
		}
	}
	return nil
}

// scanEventContent scans a row of EventContents: an event with its generation, and one of
// its outputs or the zero Output.
func scanEventContent(row Row) (*EventContent, kinora.Output, error) {
	var (
		e                                kinora.Event
		g                                kinora.Generation
		o                                kinora.Output
		typ, surface, kind, state        string
		reference, metadata              sql.NullString
		code, message, outputKind        string
		eventCreated, created, completed int64
		duration, outputCreated          int64
	)
	err := row.Scan(&e.ID, &e.OrganisationID, &typ, &e.Body, &eventCreated, &g.ID, &surface, &g.Model, &kind, &state, &reference, &metadata,
		&code, &message, &created, &completed, &g.SourceAssetID,
		&o.ID, &o.Ordinal, &o.BlobKey, &outputKind, &o.ContentType, &o.Bytes, &o.SHA256, &o.Width, &o.Height, &duration, &outputCreated)
	if err != nil {
		return nil, o, err
	}
	e.Type, e.GenerationID, e.CreatedAt = kinora.EventType(typ), g.ID, Time(eventCreated)
	if g.ID == "" {
		return &EventContent{Event: &e}, o, nil
	}
	g.OrganisationID, g.Surface, g.Kind, g.State = e.OrganisationID, kinora.Surface(surface), kinora.Kind(kind), kinora.GenerationState(state)
	if reference.Valid {
		g.Reference = &reference.String
	}
	if metadata.Valid {
		g.Metadata = json.RawMessage(metadata.String)
	}
	if code != "" {
		g.Failure = kinora.NewFailure(kinora.FailureCode(code), message)
	}
	g.CreatedAt, g.CompletedAt = Time(created), Time(completed)
	o.GenerationID, o.Kind, o.Duration, o.CreatedAt = g.ID, kinora.Kind(outputKind), time.Duration(duration)*time.Microsecond, Time(outputCreated)
	o.Role = "alternate"
	if o.Ordinal == 0 {
		o.Role = "primary"
	}
	return &EventContent{Event: &e, Generation: &g}, o, nil
}
