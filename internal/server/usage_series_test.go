package server

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

func TestUsageSeries(t *testing.T) {
	points := []kinora.UsagePoint{
		{At: testTime.Truncate(24 * time.Hour), Name: "=cmd|'/c calc'!A0", Succeeded: 3, Failed: 1, Outputs: 4, Amount: 1_050_000},
		{At: testTime.Truncate(24 * time.Hour), Name: "kling, v1"},
	}
	f := newFixture(t, func(c *Config) { c.Usage = fakeUsage{points: points} })
	const path = "/api/v1/usage/series?from=2026-06-01&to=2026-06-14T10:00:00Z&by=workflow"
	is(t, f.do("GET", path, ""), 200, `{"from":"2026-06-01T00:00:00Z","to":"2026-06-15T00:00:00Z","step":"day","by":"workflow","points":[`+
		`{"at":"2026-06-14T00:00:00Z","name":"=cmd|'/c calc'!A0","succeeded":3,"failed":1,"outputs":4,"amount_usd":1.05},`+
		`{"at":"2026-06-14T00:00:00Z","name":"kling, v1","succeeded":0,"failed":0,"outputs":0,"amount_usd":0.0}]}`)
	for accept, wanted := range map[string]bool{
		"text/csv": true, "application/json, text/csv;q=0.5": true, "TEXT/CSV": true, "text/csv;q=0": false, "*/*": false, "text/*": false, "": false, ";": false,
	} {
		w := f.do("GET", path, "", header("Accept", accept))
		if got := strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv"); w.Code != 200 || got != wanted {
			t.Errorf("Accept %q: %d %s", accept, w.Code, w.Header().Get("Content-Type"))
		}
	}
	w := f.do("GET", path, "", header("Accept", "text/csv"))
	want := "at,workflow,succeeded,failed,outputs,amount_usd\n2026-06-14T00:00:00Z,'=cmd|'/c calc'!A0,3,1,4,1.05\n2026-06-14T00:00:00Z,\"kling, v1\",0,0,0,0.0\n"
	if w.Body.String() != want || w.Header().Get("Content-Disposition") != `attachment; filename="usage.csv"` {
		t.Errorf("%v\n%s", w.Header(), w.Body)
	}
	for _, query := range []string{"from=May", "to=1969-01-01", "step=week", "by=key", "from=2020-01-01", "from=2026-06-14&to=2026-06-13"} {
		if w := f.do("GET", "/api/v1/usage/series?"+query, "", header("Accept", "text/csv")); w.Code != 422 {
			t.Errorf("%s answered %d %s", query, w.Code, w.Body)
		}
	}
}

// longLedger is a ledger with an entry every hour, newest first, that fails after so many reads.
type longLedger struct {
	fakeUsage
	entries []kinora.UsageEntry
	reads   *int
	most    int
}

func newLongLedger(n int) longLedger {
	l := longLedger{reads: new(int), most: 1000}
	for i := range n {
		at := testTime.Add(-time.Duration(i) * time.Hour)
		l.entries = append(l.entries, kinora.UsageEntry{ID: id.New(id.Usage, at), GenerationID: fmt.Sprint("job_", i), Type: kinora.UsageGeneration, Model: "-m", Outputs: 1,
			Billable: true, UnitPrice: 350_000, Amount: 350_000, CreatedAt: at})
	}
	return l
}

func (l longLedger) Ledger(_ context.Context, organisationID, before string, limit int) ([]kinora.UsageEntry, error) {
	if *l.reads++; *l.reads > l.most {
		return nil, errors.New("the database has gone")
	}
	if organisationID != ownID {
		return nil, nil
	}
	i := slices.IndexFunc(l.entries, func(e kinora.UsageEntry) bool { return e.ID < before })
	if i < 0 {
		return nil, nil
	}
	return l.entries[i:min(i+limit, len(l.entries))], nil
}

// An export reads a span of the ledger bite by bite, and is whole or broken off.
func TestLedgerAsCSV(t *testing.T) {
	ledger := newLongLedger(3*exportPage + 7)
	export := func(query string, change ...func(*Config)) *httptest.ResponseRecorder {
		t.Helper()
		f := newFixture(t, append([]func(*Config){func(c *Config) { c.Usage = ledger }}, change...)...)
		return f.do("GET", "/api/v1/billing/events?"+query, "", header("Accept", "text/csv"))
	}
	rows := func(w *httptest.ResponseRecorder) [][]string {
		t.Helper()
		all, err := csv.NewReader(w.Body).ReadAll()
		if err != nil || w.Code != 200 {
			t.Fatalf("answered %d %v", w.Code, err)
		}
		return all[1:]
	}
	if all := rows(export("from=2026-01-01")); len(all) != len(ledger.entries) || all[0][5] != "'-m" || all[0][10] != "0.35" || all[len(all)-1][2] != fmt.Sprint("job_", len(ledger.entries)-1) {
		t.Errorf("%d rows", len(all))
	}
	// Half open: the entry at from is in it, the one at to is not.
	if day := rows(export("from=2026-06-13T10:30:00Z&to=2026-06-14T10:30:00Z")); len(day) != 24 || day[0][2] != "job_1" || day[23][2] != "job_24" {
		t.Errorf("a day: %v", day)
	}
	if month := rows(export("")); len(month) != 13*24+11 { // since the first of June, and this hour's
		t.Errorf("the present month has %d rows", len(month))
	}
	for _, query := range []string{"from=x", "from=2025-01-01&to=2026-06-01", "from=2026-06-02&to=2026-06-01"} {
		if w := export(query); w.Code != 422 {
			t.Errorf("%s answered %d", query, w.Code)
		}
	}
	if w := export("from=2026-01-01", func(c *Config) { c.MaxTransfers = 1 }); w.Code != 200 {
		t.Errorf("with one place it answered %d", w.Code)
	}
	ledger.most, *ledger.reads = 0, 0
	if w := export("from=2026-01-01"); w.Code != 500 {
		t.Errorf("without a database it answered %d", w.Code)
	}
	ledger.most, *ledger.reads = 2, 0
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("an export that broke off ended with %v", p)
		}
	}()
	export("from=2026-01-01")
}
