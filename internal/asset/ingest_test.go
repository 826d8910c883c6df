package asset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestIngest(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		h := build(t, db, nil).start()
		h.serves("https://a.example/1", photo(t, 60, 40))
		for name, a := range map[string]*kinora.SourceAsset{"sent": h.bring(photo(t, 60, 40), ""), "fetched": h.bring(nil, "https://a.example/1")} {
			if a.State != kinora.AssetPending {
				t.Errorf("%s: recorded as %s", name, a.State)
			}
			got := h.ended(a.IngestID)
			content := h.file(got.BlobKey)
			if got.State != kinora.AssetReady || got.Width != 40 || got.Height != 60 || got.ContentType != "image/jpeg" || got.Bytes != int64(len(content)) ||
				bytes.Contains(content, []byte("GPS")) || got.Failure != nil || got.ReceivedKey != "" || !strings.HasSuffix(got.BlobKey, ".jpg") {
				t.Errorf("%s: %+v", name, got)
			}
		}
		h.until("one file is kept of two", func() bool { return len(h.keys()) == 1 })
		h.tells(2, 0)
	})
}

func TestWhatCannotBeASourceFails(t *testing.T) {
	h := build(t, storetest.SQLite(t), nil).start()
	answers := map[string]struct {
		serve func(n int, w io.Writer) error
		code  kinora.FailureCode
		text  string
		calls int
	}{
		"gone":        {nil, kinora.FailureSourceUnreachable, "source_url answered with status 404", 1},
		"private":     {func(int, io.Writer) error { return &netguard.Refusal{Message: "destination is not a public address"} }, kinora.FailureSourceUnreachable, "destination is not a public address", 1},
		"busy":        {func(int, io.Writer) error { return &netguard.StatusError{Status: 503} }, kinora.FailureSourceUnreachable, "status 503", 3},
		"slow":        {func(int, io.Writer) error { return context.DeadlineExceeded }, kinora.FailureSourceUnreachable, "did not answer in time", 3},
		"unreachable": {func(int, io.Writer) error { return errors.New("dial tcp 192.0.2.1:443: refused") }, kinora.FailureSourceUnreachable, "source_url could not be fetched", 3},
		"round":       {func(int, io.Writer) error { return netguard.ErrTooManyRedirects }, kinora.FailureSourceUnreachable, "too many redirects", 1},
		"large":       {func(_ int, w io.Writer) error { _, err := w.Write(make([]byte, 2<<20)); return err }, kinora.FailureSourceInvalid, "larger than", 1},
		"gif": {func(_ int, w io.Writer) error {
			_, err := io.WriteString(w, "GIF89a\x00\x00\x00\x00\x00\x00\x00;")
			return err
		}, kinora.FailureSourceInvalid, "GIF is not taken", 1},
		"page":    {func(_ int, w io.Writer) error { _, err := io.WriteString(w, "<html>"); return err }, kinora.FailureSourceInvalid, "HTML", 1},
		"nothing": {func(int, io.Writer) error { return nil }, kinora.FailureSourceInvalid, "an empty file", 1},
		"cut": {func(_ int, w io.Writer) error {
			file := pngOf(t, 40, 40, 3)
			_, err := w.Write(append(file[:len(file)-40:len(file)-40], file[len(file)-12:]...))
			return err
		}, kinora.FailureSourceInvalid, "the PNG file is", 1},
		"recovers": {func(n int, w io.Writer) error {
			if n < 3 {
				return &netguard.StatusError{Status: 502}
			}
			_, err := w.Write(pngOf(t, 40, 40, 5))
			return err
		}, "", "", 3},
		"broken off": {func(n int, w io.Writer) error {
			if n == 1 {
				_, _ = w.Write(pngOf(t, 40, 40, 7)[:50])
				return io.ErrUnexpectedEOF
			}
			_, err := w.Write(pngOf(t, 40, 40, 7))
			return err
		}, "", "", 2},
	}
	ingests := map[string]string{}
	for name, a := range answers {
		h.net.serve["https://"+name] = a.serve
		ingests[name] = h.bring(nil, "https://"+name).IngestID
	}
	for name, want := range answers {
		got := h.ended(ingests[name])
		switch {
		case want.code == "" && got.State != kinora.AssetReady:
			t.Errorf("%s: %+v", name, got.Failure)
		case want.code != "" && (got.Failure == nil || got.Failure.Code != want.code || !strings.Contains(got.Failure.Message, want.text) || got.Failure.Retryable != (want.code == kinora.FailureSourceUnreachable)):
			t.Errorf("%s: %+v, want %s %q", name, got.Failure, want.code, want.text)
		}
		if calls := h.net.asked("https://" + name); calls != want.calls {
			t.Errorf("%s was fetched %d times, want %d", name, calls, want.calls)
		}
		if got.Failure != nil && (strings.Contains(got.Failure.Message, "192.0.2") || strings.Contains(got.Failure.Message, "https:")) {
			t.Errorf("%s tells too much: %s", name, got.Failure.Message)
		}
	}
	h.until("only what is ready is kept", func() bool { return len(h.keys()) == 2 })
	h.tells(2, len(answers)-2)
}

// Storage that is away is no fault of the source's: the ingest waits for it.
func TestAnIngestOutlastsOutages(t *testing.T) {
	h := build(t, storetest.SQLite(t), nil).start()
	down := func(ops ...string) {
		h.files.mu.Lock()
		defer h.files.mu.Unlock()
		h.files.fail = func(op, key string) error {
			for _, one := range ops {
				if one == op {
					return errDown
				}
			}
			return nil
		}
	}
	h.serves("https://a.example/1", pngOf(t, 40, 40, 1))
	sent := h.bring(pngOf(t, 40, 40, 2), "")
	down("put", "open", "delete")
	fetched := h.bring(nil, "https://a.example/1")
	h.until("several tries", func() bool { return h.net.asked("https://a.example/1") >= 3 })
	for _, a := range []*kinora.SourceAsset{sent, fetched} {
		if now := h.look(a.IngestID); now.State == kinora.AssetFailed || now.Tries != 0 {
			t.Errorf("failed meanwhile: %+v", now)
		}
	}
	down()
	for _, a := range []*kinora.SourceAsset{sent, fetched} {
		if got := h.ended(a.IngestID); got.State != kinora.AssetReady {
			t.Errorf("%+v", got.Failure)
		}
	}
	// A file that has gone for good never comes back.
	lost := build(t, h.db, nil)
	a := lost.bring(pngOf(t, 40, 40, 3), "")
	if err := lost.files.Delete(t.Context(), a.ReceivedKey); err != nil {
		t.Fatal(err)
	}
	if got := h.ended(a.IngestID); got.State != kinora.AssetFailed || got.Failure.Code != kinora.FailureInternal {
		t.Errorf("%+v", got)
	}
}

// One organisation's sources that hang keep nobody else's waiting.
func TestHangingSourcesDelayNobodyElse(t *testing.T) {
	h := build(t, storetest.SQLite(t), nil).start()
	h.net.serve["https://hangs"] = func(int, io.Writer) error { <-h.net.hang; return io.ErrUnexpectedEOF }
	defer close(h.net.hang)
	for range 3 * fetchesAtOnce {
		h.bring(nil, "https://hangs")
	}
	h.until("its share hangs", func() bool { return h.net.asked("https://hangs") == fetchesOfOne })
	h.serves("https://a.example/1", pngOf(t, 40, 40, 1))
	other, err := h.FromURL("org_b", "https://a.example/1")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Record(t.Context(), other, kinora.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	h.until("another organisation's comes through", func() bool {
		a, err := h.Ingest(t.Context(), "org_b", other.IngestID)
		return err == nil && a.State == kinora.AssetReady
	})
	// And a file of its own does not wait behind them either.
	if got := h.ended(h.bring(pngOf(t, 40, 40, 2), "").IngestID); got.State != kinora.AssetReady {
		t.Errorf("%+v", got.Failure)
	}
	if n := h.net.asked("https://hangs"); n != fetchesOfOne {
		t.Errorf("%d fetches of one organisation at once", n)
	}
}

// Wherever a node dies, another takes the ingest from the step it stood at, and the late one writes nothing.
func TestANodeThatDiesLosesNoIngest(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		h := build(t, db, nil)
		h.serves("https://a.example/1", pngOf(t, 40, 40, 1))
		claim := func(fetch bool) *kinora.SourceAsset {
			t.Helper()
			var list []*kinora.SourceAsset
			err := db.Update(t.Context(), func(tx *store.Tx) (err error) {
				list, err = tx.ClaimIngests(fetch, "dead", time.Now().Add(time.Second), nil, 10)
				return err
			})
			if err != nil || len(list) != 1 {
				t.Fatalf("claimed %d, %v", len(list), err)
			}
			return list[0]
		}
		takeOver := func() {
			t.Helper()
			if err := db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.RemoveNode("dead", time.Now()); return err }); err != nil {
				t.Fatal(err)
			}
		}
		a := h.bring(nil, "https://a.example/1")
		late := claim(true) // died before, during or after the fetch
		takeOver()
		h.fetchFile(t.Context(), claim(true))
		h.fetchFile(t.Context(), late)
		if keys := h.keys(); len(keys) != 1 || keys[0] != h.look(a.IngestID).ReceivedKey {
			t.Errorf("received %v", keys)
		}
		late = claim(false) // died while it looked at the file
		takeOver()
		won := claim(false)
		h.prepareFile(t.Context(), won)
		h.prepareFile(t.Context(), late)
		got := h.look(a.IngestID)
		if ready, _ := h.told.count(); got.State != kinora.AssetReady || ready != 1 {
			t.Fatalf("%+v, told of %d times", got, ready)
		}
		if keys := h.keys(); len(keys) != 1 || keys[0] != got.BlobKey {
			t.Errorf("kept %v, the row names %s", keys, got.BlobKey)
		}
	})
}

// What waits cannot be told: nothing is committed, and it is done again.
func TestAnEndIsOneTransaction(t *testing.T) {
	h := build(t, storetest.SQLite(t), nil)
	h.told.failing = errors.New("the generation cannot be moved on")
	h.Start()
	defer h.stop()
	a := h.bring(pngOf(t, 40, 40, 1), "")
	h.until("it was tried", func() bool { return h.look(a.IngestID).LeaseOwner != "" })
	if now := h.look(a.IngestID); now.State != kinora.AssetProcessing || now.BlobKey != "" {
		t.Errorf("%+v", now)
	}
	err := h.db.View(t.Context(), func(tx *store.Tx) error {
		list, err := tx.Assets(org, kinora.AssetReady, "", 10)
		if len(list) != 0 {
			t.Errorf("ready: %+v", list)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The lease that nobody works on any more is given back at the second look.
	h.until("it was let go of", func() bool { return !h.prepare.holds(a.IngestID) })
	h.told.mu.Lock()
	h.told.failing = nil
	h.told.mu.Unlock()
	suspects, err := h.auditOnce(t.Context(), map[string]int64{})
	if err != nil || len(suspects) != 1 {
		t.Fatalf("suspects %v, %v", suspects, err)
	}
	if _, err := h.auditOnce(t.Context(), suspects); err != nil {
		t.Fatal(err)
	}
	if got := h.ended(a.IngestID); got.State != kinora.AssetReady {
		t.Errorf("%+v", got)
	}
}

func TestStopBreaksOffAndGivesBack(t *testing.T) {
	h := build(t, storetest.SQLite(t), nil)
	h.net.serve["https://hangs"] = func(int, io.Writer) error { <-h.net.hang; return io.ErrUnexpectedEOF }
	a := h.bring(nil, "https://hangs")
	h.Start()
	h.until("it is being fetched", func() bool { return h.net.asked("https://hangs") == 1 })
	go func() { time.Sleep(10 * time.Millisecond); close(h.net.hang) }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if now := h.look(a.IngestID); now.State != kinora.AssetProcessing || now.Failure != nil {
		t.Errorf("%+v", now)
	}
	if len(h.keys()) != 0 {
		t.Errorf("left %v", h.keys())
	}
}

func TestRetention(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		h := build(t, db, nil).start()
		one, same := h.ended(h.bring(pngOf(t, 40, 40, 1), "").IngestID), h.ended(h.bring(pngOf(t, 40, 40, 1), "").IngestID)
		failed := h.ended(h.bring(nil, "https://nobody").IngestID)
		h.until("received files are gone", func() bool { return len(h.keys()) == 1 })
		if err := h.RemoveAged(t.Context(), time.Time{}, one.UpdatedAt.Add(-time.Hour)); err != nil || h.look(one.IngestID).State != kinora.AssetReady {
			t.Errorf("kept for ever, %v", err)
		}
		if err := h.Remove(t.Context(), "org_b", one.IngestID); kinora.CodeOf(err) != kinora.ErrNotFound {
			t.Errorf("another organisation removes it: %v", err)
		}
		if err := h.Remove(t.Context(), org, one.IngestID); err != nil || len(h.keys()) != 1 {
			t.Errorf("removed one of two: %v, %v", h.keys(), err)
		}
		if err := h.RemoveAged(t.Context(), same.UpdatedAt, failed.UpdatedAt); err != nil || len(h.keys()) != 0 {
			t.Errorf("left %v, %v", h.keys(), err)
		}
		for _, a := range []*kinora.SourceAsset{one, same, failed} {
			if _, err := h.Ingest(t.Context(), org, a.IngestID); kinora.CodeOf(err) != kinora.ErrNotFound {
				t.Errorf("%s is still there: %v", a.IngestID, err)
			}
		}
		// Files without a row go, but those of ingests that are going on stay.
		h.stop()
		waiting := h.bring(pngOf(t, 40, 40, 2), "")
		for _, key := range []string{"assets/2026/01/01/src_x.png", "assets/received/2026/01/01/ing_x", "outputs/1.png"} {
			if _, err := h.files.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := h.RemoveOrphans(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
			t.Errorf("removed %d young ones, %v", n, err)
		}
		if n, err := h.RemoveOrphans(t.Context(), time.Now().Add(time.Hour)); n != 2 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
		if keys := fmt.Sprint(h.keys()); keys != fmt.Sprint([]string{waiting.ReceivedKey, "outputs/1.png"}) {
			t.Errorf("left %s", keys)
		}
	})
}

// Retention holds one asset at a time: somebody who is removing another one of the same content comes to their file.
func TestRetentionWaitsForNobodyWithAFileInHand(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		if !db.Shared() {
			return // one writes at a time
		}
		h := build(t, db, nil).start()
		one, same := h.ended(h.bring(pngOf(t, 40, 40, 1), "").IngestID), h.ended(h.bring(pngOf(t, 40, 40, 1), "").IngestID)
		swept := make(chan error, 1)
		tries := 0
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			if tries++; tries > 1 {
				return errors.New("the database broke a deadlock")
			}
			if _, err := tx.Exec(`UPDATE source_assets SET tries = tries WHERE ingest_id = ?`, same.IngestID); err != nil {
				return err
			}
			go func() { swept <- h.RemoveAged(t.Context(), same.UpdatedAt, time.Time{}) }()
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
				if _, err := h.Ingest(t.Context(), org, one.IngestID); kinora.CodeOf(err) == kinora.ErrNotFound {
					break
				}
				if time.Now().After(deadline) {
					t.Error("retention keeps the first in hand while it waits for the second")
					break
				}
			}
			files, err := tx.RemoveAsset(org, same.IngestID)
			if len(files) != 1 {
				t.Errorf("the last one leaves the files %v", files)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if err := <-swept; err != nil {
			t.Error(err)
		}
	})
}

func TestRepeatsFindTheFirst(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		h := build(t, db, nil)
		once := kinora.Idempotency{Key: "k", Scope: "POST /api/v1/source-assets", RequestHash: "h"}
		send := func(i kinora.Idempotency) (*kinora.SourceAsset, bool, error) {
			a, _, err := h.Receive(t.Context(), org, bytes.NewReader(pngOf(t, 40, 40, 1)))
			if err != nil {
				t.Fatal(err)
			}
			return h.Record(t.Context(), a, i)
		}
		type result struct {
			a        *kinora.SourceAsset
			replayed bool
			err      error
		}
		results := make(chan result, 6)
		for range cap(results) {
			go func() {
				a, replayed, err := send(once)
				results <- result{a, replayed, err}
			}()
		}
		first, made := "", 0
		for range cap(results) {
			r := <-results
			if r.err != nil {
				t.Fatal(r.err)
			}
			if first == "" {
				first = r.a.IngestID
			}
			if !r.replayed {
				made++
			}
			if r.a.IngestID != first {
				t.Errorf("%s beside %s", r.a.IngestID, first)
			}
		}
		if made != 1 || len(h.keys()) != 1 {
			t.Errorf("%d were made, stored %v", made, h.keys())
		}
		other := once
		other.RequestHash = "other"
		if _, _, err := send(other); kinora.CodeOf(err) != kinora.ErrConflict || len(h.keys()) != 1 {
			t.Errorf("another request: %v, stored %v", err, h.keys())
		}
		if a, err := h.Recall(t.Context(), org, once); err != nil || a == nil || a.IngestID != first {
			t.Errorf("recalled %+v, %v", a, err)
		}
		if a, err := h.Recall(t.Context(), "org_b", once); err != nil || a != nil {
			t.Errorf("another organisation recalled %+v, %v", a, err)
		}
	})
}

func TestReceiveLeavesNothingBehind(t *testing.T) {
	h := build(t, storetest.SQLite(t), nil)
	for name, tt := range map[string]struct {
		file io.Reader
		fail func(op, key string) error
		want kinora.ErrorCode
	}{
		"too large":     {io.MultiReader(bytes.NewReader(pngOf(t, 40, 40, 1)), strings.NewReader(strings.Repeat("x", 1<<20))), nil, kinora.ErrInvalid},
		"no image":      {strings.NewReader("hello"), nil, kinora.ErrInvalid},
		"too small":     {bytes.NewReader(pngOf(t, 15, 40, 1)), nil, kinora.ErrInvalid},
		"breaks off":    {io.MultiReader(bytes.NewReader(pngOf(t, 100, 100, 1)[:20_000]), brokenReader{}), nil, kinora.ErrInvalid},
		"its own error": {io.MultiReader(bytes.NewReader(pngOf(t, 100, 100, 1)[:20_000]), brokenReader{kinora.Errorf(kinora.ErrRateLimited, "x")}), nil, kinora.ErrRateLimited},
		"no storage":    {bytes.NewReader(pngOf(t, 40, 40, 1)), func(op, _ string) error { return map[string]error{"put": errDown}[op] }, kinora.ErrUnavailable},
		"no reading":    {bytes.NewReader(pngOf(t, 40, 40, 1)), func(op, _ string) error { return map[string]error{"open": errDown}[op] }, kinora.ErrUnavailable},
	} {
		h.files.fail = tt.fail
		if a, _, err := h.Receive(t.Context(), org, tt.file); kinora.CodeOf(err) != tt.want || a != nil {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		if left := h.keys(); len(left) > 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return 0, io.ErrUnexpectedEOF
}

// What a person adds is in the audit log, in the transaction that takes it; keys' requests are told by the assets themselves.
func TestWhoAddsAnAssetIsKept(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		h := build(t, db, nil)
		asAda := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorPerson, ID: "per_ada"})
		h.bring(nil, "https://images.example/by-a-key.png")
		a, err := h.FromURL(org, "https://images.example/private/a.png?token=secret")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a repeat adds nothing
			if _, _, err := h.Record(asAda, a, kinora.Idempotency{Key: "one", Scope: "POST /assets", RequestHash: "h"}); err != nil {
				t.Fatal(err)
			}
		}
		var list []kinora.AuditEntry
		if err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			list, _, err = tx.AuditEntries(kinora.AuditFilter{}, store.SearchPage{Limit: 10, Reach: 10_000})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Action != kinora.AuditAssetCreate || list[0].Actor.ID != "per_ada" || list[0].OrganisationID != org || list[0].Target != a.IngestID {
			t.Fatalf("the log has %+v", list)
		}
		if detail := string(list[0].Detail); !strings.Contains(detail, a.ID) || !strings.Contains(detail, "images.example") || strings.Contains(detail, "secret") {
			t.Errorf("the detail is %s", detail)
		}
	})
}
