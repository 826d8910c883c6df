package main

import (
	"encoding/csv"
	"fmt"
	"strings"
	"testing"
)

// tryAllowance sets what an organisation may use, shows it, and takes it back.
func tryAllowance(t *testing.T, id string) {
	t.Helper()
	set := invoke(t, "", "org", "update", id, "--limit", "generations_create=500,usage_summary=0", "--in-flight", "7", "--budget", "12.5", "--included", "100", "--json")
	if set.exit != exitOK {
		t.Fatalf("set: exit %d\n%s", set.exit, set.errOut)
	}
	want := "map[budget_usd:12.5 in_flight_jobs:7 included:100 limits:map[generations_create:500 usage_summary:0]]"
	if got := fmt.Sprint(document(t, set.out)["allowance"]); got != want {
		t.Errorf("set: %s", got)
	}
	text := invoke(t, "", "org", "show", id).out
	for _, line := range []string{"generations_create: 500 a minute", "usage_summary: no limit", "jobs in flight   7", "12.5 USD a month", "100 generations a month"} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not shown:\n%s", line, text)
		}
	}
	back := invoke(t, "", "org", "update", id, "--limit", "generations_create=-1", "--in-flight", "-1", "--no-budget", "--included", "0", "--json")
	if got := fmt.Sprint(document(t, back.out)["allowance"]); got != "map[limits:map[usage_summary:0]]" {
		t.Errorf("taken back: %s\n%s", got, back.errOut)
	}
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--limit", "generation_create=5"}, "there is no limit of that name"},
		{[]string{"--in-flight", "-2"}, "in_flight_jobs must be between"},
		{[]string{"--budget", "-3"}, "not an amount of US dollars"},
		{[]string{"--in-flight", "--budget"}, "expected int value"},
		{[]string{"--in-flight=-2"}, "in_flight_jobs must be between"},
		{[]string{"--budget=-1"}, "not an amount of US dollars"},
		{[]string{"--budget", "1", "--no-budget"}, "can't be used together"},
	} {
		if got := invoke(t, "", append([]string{"org", "update", id}, test.args...)...); got.exit != exitUsage || !strings.Contains(got.errOut, test.says) {
			t.Errorf("%v: exit %d, want %q\n%s", test.args, got.exit, test.says, got.errOut)
		}
	}
}

func TestUsage(t *testing.T) {
	_, url := startServer(t)
	created := document(t, invoke(t, "", "key", "create", "shop", "--json").out)
	t.Setenv("KINORA_KEY", created["key"].(string))
	if done := invoke(t, "", "submit", "--server", url, "--model", "sandbox-image", "--prompt", "a kite", "--out", t.TempDir()); done.exit != exitOK {
		t.Fatalf("submit: exit %d\n%s%s", done.exit, done.out, done.errOut)
	}
	sum := document(t, invoke(t, "", "usage", "--json").out)
	if jobs := fmt.Sprint(sum["jobs"]); !strings.Contains(jobs, "succeeded:1") || fmt.Sprint(sum["spent_usd"]) != "0" {
		t.Errorf("usage: %v", sum)
	}
	if text := invoke(t, "", "usage").out; !strings.Contains(text, "succeeded        1, with 1 outputs") {
		t.Errorf("usage: %s", text)
	}
	rows, err := csv.NewReader(strings.NewReader(invoke(t, "", "usage", "--csv").out)).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][4] != "generation" || rows[1][8] != "0.0" {
		t.Errorf("ledger: %v, %v", rows, err)
	}
	rows, err = csv.NewReader(strings.NewReader(invoke(t, "", "usage", "--csv", "--month", "2020-01").out)).ReadAll()
	if err != nil || len(rows) != 1 {
		t.Errorf("the ledger of a month without entries: %v, %v", rows, err)
	}
	days := document(t, invoke(t, "", "usage", "--by", "model", "--json").out)
	if points := fmt.Sprint(days["points"]); days["step"] != "day" || !strings.Contains(points, "name:sandbox-image outputs:1 succeeded:1") {
		t.Errorf("usage by model: %v", days)
	}
	rows, err = csv.NewReader(strings.NewReader(invoke(t, "", "usage", "--by", "workflow", "--step", "hour", "--since", "2h", "--csv").out)).ReadAll()
	if err != nil || len(rows) != 2 || rows[0][1] != "workflow" || rows[1][2] != "1" {
		t.Errorf("usage by workflow: %v, %v", rows, err)
	}
	if text := invoke(t, "", "usage", "--by", "model").out; !strings.Contains(text, "sandbox-image  1") {
		t.Errorf("usage by model: %s", text)
	}
	for _, args := range [][]string{{"--since", "3d"}, {"--by", "model", "--since", "3d", "--month", "2026-01"}, {"--by", "key"}, {"--by", "model", "--step", "hour", "--since", "60d"}} {
		if bad := invoke(t, "", append([]string{"usage"}, args...)...); bad.exit != exitUsage {
			t.Errorf("%v: exit %d\n%s%s", args, bad.exit, bad.out, bad.errOut)
		}
	}
	if bad := invoke(t, "", "usage", "--month", "May"); bad.exit != exitUsage || !strings.Contains(bad.errOut, "2026-09") {
		t.Errorf("a bad month: exit %d\n%s", bad.exit, bad.errOut)
	}
	if both := invoke(t, "", "usage", "--csv", "--json"); both.exit != exitUsage || both.out != "" || !strings.Contains(both.errOut, "--csv and --json can't be used together") {
		t.Errorf("CSV and JSON at once: exit %d\n%s%s", both.exit, both.out, both.errOut)
	}
	if none := invoke(t, "", "usage", "Nobody"); none.exit != exitNotFound {
		t.Errorf("an unknown organisation: exit %d", none.exit)
	}
}
