package ark

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

func seedanceJob(id string) provider.Job {
	return provider.Job{UpstreamID: id, Kind: kinora.KindVideo, UpstreamModel: "doubao-seedance-1-5-pro-251215"}
}

// Many tasks are one list query, whose items may come in any order, twice, damaged, or not at all.
func TestPollOfMany(t *testing.T) {
	u := providertest.NewUpstream(t)
	u.Answer(listed(
		shown("cgt-3", "failed", `,"failure_reason":{"code":"OutputVideoSensitiveContentDetected","message":"x"}`),
		`{"id":7}`, `null`, shown("cgt-9", "failed", ""),
		shown("cgt-1", "succeeded", `,"content":{"video_url":"https://h/1.mp4"}`), shown("cgt-1", "failed", ""),
	))
	reports, err := New().Poll(t.Context(), u.With(account), []provider.Job{seedanceJob("cgt-1"), seedanceJob("cgt-2"), seedanceJob("cgt-3"), seedanceJob("cgt-3")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range reports {
		class := provider.Class("")
		if r.Err != nil {
			class = r.Err.Class
		}
		got[r.UpstreamID] = fmt.Sprintf("%s %s %d", r.State, class, len(r.Outputs))
	}
	if fmt.Sprint(got) != fmt.Sprint(map[string]string{"cgt-1": "succeeded  1", "cgt-3": "failed moderation 0"}) || len(reports) != 2 {
		t.Errorf("reports %v", got)
	}
	calls := u.Take()
	if len(calls) != 1 {
		t.Fatalf("%d calls", len(calls))
	}
	target, err := url.Parse(calls[0].Target)
	if err != nil {
		t.Fatal(err)
	}
	if q := target.Query(); fmt.Sprint(q["filter.task_ids"], q["page_num"], q["page_size"]) != "[cgt-1 cgt-2 cgt-3] [1] [3]" {
		t.Errorf("asked %v", q)
	}

	u.Answer(providertest.JSON(200, `{"total":"0"}`))
	if reports, err := New().Poll(t.Context(), u.With(account), []provider.Job{seedanceJob("cgt-1"), seedanceJob("cgt-2")}); err != nil || len(reports) != 0 {
		t.Errorf("an empty list: %v, error %v", reports, err)
	}
	for _, body := range []string{`{}`, `{"total":3}`, `{"items":null}`, `{"data":[]}`, `[]`} {
		u.Answer(providertest.JSON(200, body))
		if reports, err := New().Poll(t.Context(), u.With(account), []provider.Job{seedanceJob("cgt-1"), seedanceJob("cgt-2")}); err == nil {
			t.Errorf("%s: taken for a list: %v", body, reports)
		}
	}
}

// What the vendor says that it does not know gets no report; images are never asked about.
func TestPollOfWhatIsNotThere(t *testing.T) {
	u := providertest.NewUpstream(t)
	u.Answer(refusedWith(404, "ResourceNotFound", ""))
	if reports, err := New().Poll(t.Context(), u.With(account), []provider.Job{seedanceJob("cgt-1")}); err != nil || len(reports) != 0 {
		t.Errorf("%v, error %v", reports, err)
	}
	u.Take()
	jobs := []provider.Job{{UpstreamModel: "doubao-seedream-4-0-250828", Kind: kinora.KindImage}, {UpstreamModel: "ep-1", Kind: kinora.KindImage}}
	reports, err := New().Poll(t.Context(), u.With(account), jobs)
	if err != nil || len(reports) != 2 || reports[0].State != provider.StateExpired || reports[0].Err.Class != provider.Gone {
		t.Errorf("%v, error %v", reports, err)
	}
	for _, j := range jobs {
		if err := New().Cancel(t.Context(), u.With(account), j); !errors.Is(err, provider.ErrNotCancellable) {
			t.Errorf("cancel: %v", err)
		}
	}
	if n := len(u.Take()); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// A task is the attempt's unless it carries another one's reference, whoever named it, a caller's own apart that only looks like one.
func TestTasksOfOtherAttempts(t *testing.T) {
	u := providertest.NewUpstream(t)
	other := strings.Replace(testRef, "_1", "_2", 1)
	for name, c := range map[string]struct {
		reference string
		handle    string
		found     int
	}{
		"ours":                         {testRef, string(named), 1},
		"another attempt's":            {other, string(named), 0},
		"another attempt's, by hand":   {other, "", 0},
		"a caller's own that looks so": {other, string(callersOwn), 1},
		"a caller's own":               {"user-17", string(named), 1},
		"none":                         {"", string(named), 1},
	} {
		u.Answer(providertest.JSON(200, shown(taskID, "running", `,"safety_identifier":"`+c.reference+`"`)))
		job := seedanceJob(taskID)
		job.ClientRef, job.Handle = testRef, json.RawMessage(c.handle)
		if reports, err := New().Poll(t.Context(), u.With(account), []provider.Job{job}); err != nil || len(reports) != c.found {
			t.Errorf("%s: %v, error %v", name, reports, err)
		}
	}
}

// What a caller calls a task is remembered where it looks like a reference of ours, so that its own task is not taken for another's.
func TestACallersReferenceThatLooksLikeOurs(t *testing.T) {
	u := providertest.NewUpstream(t)
	for own, handle := range map[string]string{"user-17": "", strings.Replace(testRef, "_1", "_2", 1): string(callersOwn)} {
		u.Answer(providertest.JSON(200, `{"id":"`+taskID+`"}`))
		got, err := New().Submit(t.Context(), u.With(account), video(func(r *provider.Request) {
			r.Metadata = map[string]json.RawMessage{keyReference: json.RawMessage(`"` + own + `"`)}
		}))
		if err != nil || string(got.Handle) != handle {
			t.Errorf("%s: %+v, error %v", own, got, err)
		}
	}
}

// Only one exact match among the latest tasks is taken over, and nothing is asked where the
// task cannot carry our reference.
func TestReconcile(t *testing.T) {
	ours := `,"safety_identifier":"` + testRef + `"`
	u := providertest.NewUpstream(t)
	for name, c := range map[string]struct {
		reply providertest.Reply
		want  error
	}{
		"one":                   {listed(shown("cgt-1", "running", ours)), nil},
		"one, listed twice":     {listed(shown("cgt-1", "running", ours), shown("cgt-1", "running", ours)), nil},
		"two":                   {listed(shown("cgt-1", "running", ours), shown("cgt-2", "failed", ours)), provider.ErrUncertain},
		"a longer reference":    {listed(shown("cgt-1", "running", `,"safety_identifier":"`+testRef+`0"`)), provider.ErrUncertain},
		"none":                  {listed(), provider.ErrUncertain},
		"the page is refused":   {refusedWith(400, "InvalidParameter", "page_size"), provider.ErrUncertain},
		"a task without any id": {listed(`{"safety_identifier":"` + testRef + `"}`), provider.ErrUncertain},
	} {
		u.Answer(c.reply)
		got, err := New().Reconcile(t.Context(), u.With(account), video(plain))
		if !errors.Is(err, c.want) || c.want == nil && got.UpstreamID != "cgt-1" {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
	u.Answer(refusedWith(401, "AuthenticationError", ""))
	if _, err := New().Reconcile(t.Context(), u.With(account), video(plain)); provider.AsError(err, "").Class != provider.Credential {
		t.Errorf("without a key: %v", err)
	}
	u.Take()
	off := account
	off.Settings = map[string]string{SettingAPIKey: "arkkey0123456789abcdef", SettingReference: "off"}
	for name, c := range map[string]struct {
		account provider.Account
		req     provider.Request
	}{
		"the caller's own":   {account, video(meta("doubao-seedance-1-5-pro-251215", "safety_identifier", `"`+testRef+`"`))},
		"switched off":       {off, video(plain)},
		"an image":           {account, image(plain)},
		"no reference known": {account, video(func(r *provider.Request) { r.ClientRef = "" })},
	} {
		if _, err := New().Reconcile(t.Context(), u.With(c.account), c.req); !errors.Is(err, provider.ErrUncertain) || len(u.Take()) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	u.Answer(providertest.JSON(200, `{"id":"cgt-1"}`))
	if _, err := New().Submit(t.Context(), u.With(off), video(plain)); err != nil {
		t.Fatal(err)
	}
	if sent := string(u.Take()[0].Body); strings.Contains(sent, keyReference) {
		t.Errorf("switched off, and still sent: %s", sent)
	}
}

// A DELETE destroys the record of an ended task: none is sent but right after "queued".
func TestCancelNeverDestroys(t *testing.T) {
	for name, c := range map[string]struct {
		looks   []providertest.Reply // answers to GETs, in order; the last stays
		delete  providertest.Reply
		deletes int
		want    error
		class   provider.Class
	}{
		"queued":               {[]providertest.Reply{one("queued", ""), one("cancelled", "")}, providertest.JSON(200, `{}`), 1, nil, ""},
		"gone after it":        {[]providertest.Reply{one("queued", ""), refusedWith(404, "ResourceNotFound", "")}, providertest.JSON(200, `{}`), 1, nil, ""},
		"no look after it":     {[]providertest.Reply{one("queued", ""), {Cut: providertest.CutAnswer}}, providertest.JSON(200, ``), 1, nil, ""},
		"runs after it":        {[]providertest.Reply{one("queued", ""), one("running", "")}, providertest.JSON(200, `{}`), 1, provider.ErrNotCancellable, ""},
		"began meanwhile":      {[]providertest.Reply{one("queued", "")}, refusedWith(409, "OperationDenied", ""), 1, provider.ErrNotCancellable, ""},
		"refused with 400":     {[]providertest.Reply{one("queued", "")}, refusedWith(400, "InvalidParameter", ""), 1, provider.ErrNotCancellable, ""},
		"refused for its rate": {[]providertest.Reply{one("queued", "")}, refusedWith(429, "AccountRateLimitExceeded", ""), 1, nil, provider.Rate},
		"lost":                 {[]providertest.Reply{one("queued", "")}, providertest.Reply{Cut: providertest.CutAnswer}, 1, nil, provider.Unavailable},
		"running":              {[]providertest.Reply{one("running", "")}, providertest.Reply{}, 0, provider.ErrNotCancellable, ""},
		"succeeded":            {[]providertest.Reply{one("succeeded", "")}, providertest.Reply{}, 0, provider.ErrNotCancellable, ""},
		"failed":               {[]providertest.Reply{one("failed", "")}, providertest.Reply{}, 0, provider.ErrNotCancellable, ""},
		"expired":              {[]providertest.Reply{one("expired", "")}, providertest.Reply{}, 0, provider.ErrNotCancellable, ""},
		"cancelled":            {[]providertest.Reply{one("cancelled", "")}, providertest.Reply{}, 0, nil, ""},
		"an unknown word":      {[]providertest.Reply{one("waiting", "")}, providertest.Reply{}, 0, provider.ErrNotCancellable, ""},
		"gone":                 {[]providertest.Reply{refusedWith(404, "ResourceNotFound", "")}, providertest.Reply{}, 0, nil, provider.Gone},
		"unreadable":           {[]providertest.Reply{providertest.JSON(200, `{"status":"queued"}`)}, providertest.Reply{}, 0, nil, provider.Unavailable},
	} {
		u := providertest.NewUpstream(t)
		var looks, deletes atomic.Int64
		u.AnswerWith(func(r providertest.Recorded) providertest.Reply {
			if r.Method == http.MethodDelete {
				deletes.Add(1)
				return c.delete
			}
			return c.looks[min(int(looks.Add(1)), len(c.looks))-1]
		})
		err := New().Cancel(t.Context(), u.With(account), seedanceJob(taskID))
		var e *provider.Error
		switch {
		case int(deletes.Load()) != c.deletes:
			t.Errorf("%s: %d DELETEs", name, deletes.Load())
		case c.class != "":
			if !errors.As(err, &e) || e.Class != c.class {
				t.Errorf("%s: %v", name, err)
			}
		case !errors.Is(err, c.want):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An operator reads the vendor's words where they hold nothing that must not be read.
func TestWhatAnOperatorReads(t *testing.T) {
	u := providertest.NewUpstream(t)
	for message, want := range map[string]string{
		"The parameter `duration` is not valid for model x. Request id: 02178": "The parameter `duration` is not valid for model x. Request id: 02178",
		"cannot fetch https://cdn.example/a.png?sig=secret: timeout":           "cannot fetch … timeout",
		"the text 'kites over a quiet' is refused":                             "",
		"key " + account.Settings[SettingAPIKey] + " is wrong":                 "",
		strings.Repeat("x", 400):                                               strings.Repeat("x", 300) + "…",
		"data:image/png;base64,AAAA is broken":                                 "… is broken",
		"look at tos://bucket/object and HTTPS://h/x":                          "look at … and …",
	} {
		m := quoted(message)
		u.Answer(providertest.JSON(400, fmt.Sprintf(`{"error":{"code":"InvalidParameter.X","message":%s,"param":"callback_url"}}`, m)))
		_, err := New().Submit(t.Context(), u.With(account), video(plain))
		var e *provider.Error
		if !errors.As(err, &e) || e.Detail != want || e.Code != "InvalidParameter.X" || !e.CallbackRefused {
			t.Errorf("%q: %+v, want %q", message, e, want)
		}
	}
	u.Answer(refusedWith(500, "InternalServiceError", ""))
	var e *provider.Error
	if _, err := New().Submit(t.Context(), u.With(account), video(plain)); !errors.As(err, &e) || e.Code != "InternalServiceError" {
		t.Errorf("a fault: %+v", e)
	}
}
