package webhook_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

var query = regexp.MustCompile(`\?[^"]*`)

// The log tells of each attempt what was sent, byte for byte but for what is secret, and what came back.
func TestLogTellsWhatWasSent(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, func(c *call) answer {
			if c.header.Get("X-Katalo-Attempt") == "1" {
				return answer{status: 500, body: "oops " + c.header.Get("Webhook-Signature") + " " + c.header.Get("X-Katalo-Signature"), header: http.Header{"Set-Cookie": {"session=hush"}, "X-Reason": {"a", "b \u202e"}}}
			}
			return answer{status: 200}
		})
		w.secrets.set("org_1", secretA, secretB)
		d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Millisecond) })
		delivery := w.event(w.organisation("org_1", rcv.url()))
		d.Nudge("org_1")
		w.until(t, delivery.ID, kinora.DeliveryDelivered)
		got, log, err := d.Log(context.Background(), "org_1", delivery.ID)
		if err != nil || got.ID != delivery.ID || len(log) != 2 {
			t.Fatalf("%+v, %d attempts, %v", got, len(log), err)
		}
		for i, c := range rcv.seen() {
			a := log[i]
			want := map[string]string{"host": rcv.listener.Addr().String(), "content-length": c.header.Get("Content-Length")}
			for name, values := range c.header {
				want[strings.ToLower(name)] = values[0]
			}
			want["webhook-signature"], want["x-katalo-signature"], want["x-katalo-signature-previous"] = "[hidden] [hidden]", "[hidden]", "[hidden]"
			shown := map[string]string{}
			for _, line := range a.RequestHeaders {
				shown[line.Name] = line.Value
			}
			if diff := cmp.Diff(want, shown); diff != "" {
				t.Errorf("attempt %d: %s", i+1, diff)
			}
			sum := sha256.Sum256(c.body)
			if a.Sent.BodyBytes != len(c.body) || a.Sent.BodySHA256 != base64.RawStdEncoding.EncodeToString(sum[:]) {
				t.Errorf("attempt %d: %+v of %d bytes", i+1, a.Sent, len(c.body))
			}
			if body := query.ReplaceAllString(string(c.body), "?[hidden]"); body != a.RequestBody || body == string(c.body) {
				t.Errorf("attempt %d sent %s, shown %s", i+1, body, a.RequestBody)
			}
		}
		head := log[0].ResponseHead
		if log[0].Response != "oops [hidden] [hidden] [hidden]" || strings.Contains(head, "hush") || !strings.Contains(head, "set-cookie: [hidden]\nx-reason: a\nx-reason: b \u202e\n") {
			t.Errorf("came back: %q, %q", head, log[0].Response)
		}

		// Files that have been removed since were in the body all the same.
		w.clock.add(time.Hour)
		w.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE outputs SET removed_at = ?`, store.Micros(w.clock.now()))
			return err
		})
		_, later, err := d.Log(context.Background(), "", delivery.ID)
		if err != nil || later[0].RequestBody != log[0].RequestBody {
			t.Errorf("%v: %s", err, later[0].RequestBody)
		}
		for _, organisation := range []string{"org_2", "org_"} {
			if _, _, err := d.Log(context.Background(), organisation, delivery.ID); kinora.CodeOf(err) != kinora.ErrNotFound {
				t.Errorf("another organisation's: %v", err)
			}
		}
	})
}

// Of an endpoint's own headers the log tells the names.
func TestLogNamesAnEndpointsOwnHeaders(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	rcv := newReceiver(t, always(200))
	org := w.organisation("org_1", "")
	w.endpoint(org, rcv.url(), func(e *kinora.Endpoint) {
		e.SealedHeaders = `{"X-Team":"night shift","Authorization":"Bearer letmein-please"}`
	})
	d := w.run(t, nil)
	delivery := w.event(org)
	d.Nudge(org)
	w.until(t, delivery.ID, kinora.DeliveryDelivered)
	_, log, err := d.Log(t.Context(), org, delivery.ID)
	if err != nil || len(log) != 1 {
		t.Fatalf("%d attempts, %v", len(log), err)
	}
	lines := log[0].RequestHeaders
	want := []kinora.HeaderLine{{Name: "authorization", Value: "[hidden]"}, {Name: "x-team", Value: "[hidden]"}}
	if diff := cmp.Diff(want, lines[max(0, len(lines)-2):]); diff != "" {
		t.Error(diff)
	}
	if text := fmt.Sprintf("%+v", log); strings.Contains(text, "night shift") || strings.Contains(text, "letmein") {
		t.Errorf("the log shows %s", text)
	}
}

// What goes to an endpoint that has moved is logged as it was sent.
func TestLogTellsWhereAMovedEndpointIs(t *testing.T) {
	d := &kinora.Delivery{ID: "dlv_1", URL: "https://old.example/hook"}
	for sent, want := range map[string]string{"": "old.example", "new.example:8443": "new.example:8443"} {
		a := &kinora.DeliveryAttempt{Number: 1, Sent: kinora.SentRequest{UserAgent: "Kinora/1", Host: sent}}
		if got := webhook.SentHeaders(d, a)[0]; got != (kinora.HeaderLine{Name: "host", Value: want}) {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

// Nothing is shown of a request that was not made.
func TestLogOfARefusedDelivery(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	d := w.run(t, nil)
	delivery := w.event(w.organisation("org_1", "http://10.0.0.1/hook"))
	d.Nudge("org_1")
	w.until(t, delivery.ID, kinora.DeliveryDead)
	_, log, err := d.Log(context.Background(), "", delivery.ID)
	if err != nil || len(log) != 1 || log[0].RequestHeaders != nil || log[0].RequestBody != "" || log[0].Fault != kinora.FaultPolicy {
		t.Errorf("%+v, %v", log, err)
	}
}

// An attempt is in the log as soon as its outcome is: whoever sees the one sees the other.
func TestLogIsThereWithTheOutcome(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, always(200))
		org := w.organisation("org_1", rcv.url())
		d := w.run(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				_ = db.View(context.Background(), func(tx *store.Tx) error {
					var outcomes, log int
					err := tx.QueryRow(`SELECT (SELECT coalesce(sum(attempts), 0) FROM deliveries), (SELECT count(*) FROM delivery_attempts)`).Scan(&outcomes, &log)
					if err == nil && outcomes != log {
						t.Errorf("%d attempts are counted, %d logged", outcomes, log)
					}
					return err
				})
			}
		}()
		w.events(200, func(int) (string, string) { return org, "" })
		d.Nudge("org_1")
		w.settled(t)
		cancel()
		<-done
	})
}

// A delivered event costs no more than 2 KB beside its payload, indexes and all, when the
// receiver says as much as receivers usually do and its first attempt is the last one.
func TestStoredBytesPerDeliveredEvent(t *testing.T) {
	const events, most = 2000, 2000
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, func(*call) answer {
			return answer{status: 200, body: `{"received":true}`, header: http.Header{"Content-Type": {"application/json"}, "Server": {"nginx/1.27.3"}, "X-Request-Id": {"0f8fad5b-d9cb-469f-a165-70867728950e"}}}
		})
		const name = "org_01HF8Z3KQX2A6Y4N3R8M5W7V9P"
		org := w.organisation(name, rcv.url())
		before, beforeLog := stored(t, w, "events", "deliveries"), stored(t, w, "delivery_attempts")
		w.events(events, func(int) (string, string) { return org, "" })
		d := w.dispatcher(t, nil)
		w.start(t, d)
		w.settled(t)
		if err := d.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		// On a busy machine some take a second attempt, which is stored as well.
		attempts := 0
		w.view(func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM delivery_attempts`).Scan(&attempts) })
		if attempts < events {
			t.Fatalf("%d attempts for %d events", attempts, events)
		}
		each := (stored(t, w, "events", "deliveries")-before)/events + (stored(t, w, "delivery_attempts")-beforeLog)/attempts
		t.Logf("%d bytes per delivered event, %d attempts", each, attempts)
		if each > most || each < 200 {
			t.Errorf("%d bytes per delivered event, at most %d are wanted", each, most)
		}
	})
}

// stored is the size of rows and index entries of tables. What is left of earlier versions of rows is not counted, nor are half-empty pages: how full they
// are hangs on the order in which results came to be written, and so on what else the machine does.
func stored(t *testing.T, w *world, tables ...string) (bytes int) {
	t.Helper()
	for _, table := range tables {
		if w.db.Postgres() != nil {
			bytes += storedPostgres(t, w, table)
			continue
		}
		w.view(func(tx *store.Tx) error {
			var n int
			err := tx.QueryRow(`SELECT coalesce(sum(pgsize - unused), 0) FROM dbstat WHERE aggregate = TRUE AND name IN
				(SELECT name FROM sqlite_schema WHERE tbl_name = ?)`, table).Scan(&n)
			bytes += n
			return err
		})
	}
	return bytes
}

// storedPostgres copies a table, and so nothing but its rows as they are: VACUUM FULL would keep earlier versions for as long as anybody on the
// server holds a snapshot, such as a connection that another test begins.
func storedPostgres(t *testing.T, w *world, table string) (bytes int) {
	t.Helper()
	tx, err := w.db.Postgres().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	for _, statement := range []string{`CREATE TABLE copied (LIKE ` + table + ` INCLUDING ALL)`, `INSERT INTO copied SELECT * FROM ` + table, `REINDEX TABLE copied`} {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.QueryRow(t.Context(), `SELECT pg_total_relation_size('copied'::regclass)`).Scan(&bytes); err != nil {
		t.Fatal(err)
	}
	return bytes
}
