package vidu

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
	"github.com/kinora/kinora/provider/providertest"
)

const other = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9Q_0" // somebody else's reference

func job(id string) provider.Job {
	return provider.Job{UpstreamID: id, ClientRef: ref, UpstreamModel: "viduq3-turbo", Kind: kinora.KindVideo}
}

// The list is one call for many tasks. What it does not tell about is left out, so that
// the lifecycle asks for it alone.
func TestPollManyByList(t *testing.T) {
	u := providertest.NewUpstream(t)
	u.Answer(providertest.JSON(200, `{"next_page_token":"x","tasks":[
		{"id":"1","state":"processing"},
		{"id":"1","state":"failed"},
		{"id":"2","state":"success","creations":{"url":"https://cdn.example/2","video":{"fps":24}}},
		{"id":"3","model":"viduq2","creations":[]},
		{"id":"4","state":"success","creations":[]},
		{"id":"5","state":"processing","payload":"`+other+`"},
		{"id":"6","state":"failed","err_code":"CreationPolicyViolation"},
		{"id":7,"state":"queueing"},
		{"id":"99","state":"failed"},
		"what is this", null, {"id":{}}, []
	]}`))
	var jobs []provider.Job
	for i := range 8 {
		jobs = append(jobs, job(fmt.Sprint(i+1)))
	}
	reports, err := New().Poll(t.Context(), u.With(account), jobs)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]provider.State{
		"1": provider.StateRunning, "2": provider.StateSucceeded, "6": provider.StateFailed, "7": provider.StateQueued,
	}
	for _, r := range reports {
		if r.State != want[r.UpstreamID] {
			t.Errorf("task %s: %s, want %s", r.UpstreamID, r.State, want[r.UpstreamID])
		}
		delete(want, r.UpstreamID)
	}
	if len(want) != 0 {
		t.Errorf("no report on %v", want)
	}
	asked := u.Take()
	if len(asked) != 1 {
		t.Fatalf("%d calls, want 1", len(asked))
	}
	target, err := url.Parse(asked[0].Target)
	if err != nil {
		t.Fatal(err)
	}
	if q := target.Query(); target.Path != "/ent/v2/tasks" || !slices.Equal(q["task_ids"], []string{"1", "2", "3", "4", "5", "6", "7", "8"}) || q.Get("pager.pagesz") != "100" {
		t.Errorf("asked for %s", asked[0].Target)
	}
}

func TestPollManyAsksTheListOnly(t *testing.T) {
	u := providertest.NewUpstream(t)
	for reply, class := range map[string]provider.Class{`{"code":404,"reason":"NotFound"}`: provider.Unavailable, `{"reason":"Unauthorized"}`: provider.Credential} {
		u.Answer(providertest.JSON(map[provider.Class]int{provider.Unavailable: 404, provider.Credential: 401}[class], reply))
		_, err := New().Poll(t.Context(), u.With(account), []provider.Job{job("1"), job("2")})
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != class {
			t.Errorf("%s: error %v, want class %s", reply, err, class)
		}
		if n := len(u.Take()); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	}
	u.Answer(providertest.JSON(200, `{"tasks":"none"}`))
	if _, err := New().Poll(t.Context(), u.With(account), []provider.Job{job("1"), job("2")}); err == nil {
		t.Error("an answer that is no list went well")
	}
}

// A task that was made for another attempt is not this one's, whatever named it.
func TestForeignTasksAreNotShown(t *testing.T) {
	u := providertest.NewUpstream(t)
	for _, c := range []struct {
		payload string
		handle  string
		want    int
	}{
		{ref, "", 1}, {"", "", 1}, {"order-17", "", 1}, {other, "", 0}, {other, `{"own_payload":true}`, 1}, {ref + "1", "", 0}, {"order " + other, "", 1},
	} {
		u.Answer(queried(`"state":"processing","payload":"` + c.payload + `"`))
		j := job(taskID)
		j.Handle = json.RawMessage(c.handle)
		reports, err := New().Poll(t.Context(), u.With(account), []provider.Job{j})
		if err != nil || len(reports) != c.want {
			t.Errorf("payload %q: %d reports, error %v; want %d", c.payload, len(reports), err, c.want)
		}
	}
}

// What a poll has to know of an off-peak task, or of one with the caller's own payload,
// comes along from the submit.
func TestHandle(t *testing.T) {
	u := providertest.NewUpstream(t)
	u.Answer(providertest.JSON(200, created))
	for want, req := range map[string]provider.Request{
		"": video("viduq3-turbo", 0, "off_peak", "false"),
		`{"off_peak":true,"created_at":"2026-08-22T04:05:06.789Z"}`: video("viduq3-turbo", 0, "off_peak", "true"),
		`{"own_payload":true}`: video("viduq3-turbo", 0, "payload", `"mine"`),
	} {
		got, err := New().Submit(t.Context(), u.With(account), req)
		if err != nil || string(got.Handle) != want {
			t.Errorf("handle %s, error %v; want %s", got.Handle, err, want)
		}
	}
}

// An off-peak task that fails without a reason of its own after two days was given up.
func TestOffPeakExpires(t *testing.T) {
	now := time.Date(2026, 8, 24, 4, 5, 7, 0, time.UTC)
	begun := `{"off_peak":true,"created_at":"2026-08-22T04:05:06.789Z"}`
	for _, c := range []struct {
		handle, code string
		after        time.Duration
		want         provider.State
	}{
		{begun, "", 0, provider.StateExpired},
		{begun, "UserCancelled", 0, provider.StateExpired},
		{begun, "SomethingNew", 0, provider.StateExpired},
		{begun, "CreationPolicyViolation", 0, provider.StateFailed},
		{begun, "InternalServiceFailure", 0, provider.StateFailed},
		{begun, "", -time.Hour, provider.StateFailed},
		{begun, "UserCancelled", -time.Hour, provider.StateCancelled},
		{`{"off_peak":true,"created_at":"yesterday"}`, "", 0, provider.StateFailed},
		{``, "", 0, provider.StateFailed},
		{`broken`, "UserCancelled", 0, provider.StateCancelled},
	} {
		j := job(taskID)
		j.Handle = json.RawMessage(c.handle)
		shown := task{State: new(lenient.Word), ErrCode: lenient.Word(c.code)}
		*shown.State = "failed"
		r := shown.report(provider.Upstream{Account: account}, j, now.Add(c.after))
		if r.State != c.want || (r.Err == nil) != (c.want == provider.StateCancelled) {
			t.Errorf("%s %q: %s %v, want %s", c.handle, c.code, r.State, r.Err, c.want)
		}
	}
	waiting := task{State: new(lenient.Word)}
	j := job(taskID)
	j.Handle = json.RawMessage(begun)
	if r := waiting.report(provider.Upstream{}, j, now); r.PollAfter != offPeakPause {
		t.Errorf("the next look comes after %v", r.PollAfter)
	}
}

// Only one task with exactly our payload is taken over; nothing else is certain.
func TestReconcile(t *testing.T) {
	u := providertest.NewUpstream(t)
	req := video("viduq3-turbo", 0)
	for answer, want := range map[string]error{
		`{"tasks":[{"id":"1","payload":"` + ref + `"}]}`:                                    nil,
		`{"tasks":[{"id":"1","payload":"` + ref + `"},{"id":"2","payload":"` + ref + `"}]}`: provider.ErrUncertain,
		`{"tasks":[{"id":"","payload":"` + ref + `"}]}`:                                     provider.ErrUncertain,
		`{"tasks":[{"id":"1","payload":"` + ref + `1"}]}`:                                   provider.ErrUncertain,
		`{"tasks":[{"id":"1","prompt":"another"}],"next_page_token":"more"}`:                provider.ErrUncertain,
	} {
		u.Answer(providertest.JSON(200, answer))
		got, err := New().Reconcile(t.Context(), u.With(account), req)
		if !errors.Is(err, want) || err == nil && got.UpstreamID != "1" {
			t.Errorf("%s: %+v, error %v; want %v", answer, got, err, want)
		}
	}
	u.Take()
	if _, err := New().Reconcile(t.Context(), u.With(account), video("viduq3-turbo", 0, "payload", `"mine"`)); !errors.Is(err, provider.ErrUncertain) || len(u.Take()) != 0 {
		t.Errorf("with the caller's own payload: error %v", err)
	}
	// A list without payloads: those tasks that could be ours are read one by one.
	answers := map[string]string{
		"": `{"tasks":[{"id":"1","model":"viduq2","prompt":"a lantern"},{"id":"2","model":"viduq3-turbo","prompt":"another"},
			{"id":"3","model":"viduq3-turbo","prompt":" a lantern festival","payload":""},{"id":"4","model":"viduq3-turbo","prompt":"a lantern festival"},
			{"id":"5"},{"id":"6","payload":"` + other + `"}]}`,
		"3": `{"state":"processing","payload":"` + other + `"}`, "4": `{"state":"processing","payload":"` + ref + `"}`, "5": `{"state":"failed","payload":""}`,
	}
	byTask := func(r providertest.Recorded) providertest.Reply {
		_, rest, _ := strings.Cut(r.Target, "/tasks/")
		id, _, _ := strings.Cut(rest, "/")
		if answers[id] == "" {
			return refused(404, "TaskNotFound", "task not found")
		}
		return providertest.JSON(200, answers[id])
	}
	u.AnswerWith(byTask)
	if got, err := New().Reconcile(t.Context(), u.With(account), req); err != nil || got.UpstreamID != "4" || len(u.Take()) != 4 {
		t.Errorf("by queries: %+v, error %v", got, err)
	}
	delete(answers, "4")
	if _, err := New().Reconcile(t.Context(), u.With(account), req); !errors.Is(err, provider.ErrUncertain) {
		t.Errorf("by queries that find none: error %v", err)
	}
	answers["4"], answers["5"] = `{"state":"queueing","payload":"`+ref+`"}`, `{"state":"queueing","payload":"`+ref+`"}`
	if _, err := New().Reconcile(t.Context(), u.With(account), req); !errors.Is(err, provider.ErrUncertain) {
		t.Errorf("by queries that find two: error %v", err)
	}
	answers["5"] = `{"sta`
	if _, err := New().Reconcile(t.Context(), u.With(account), req); err == nil || errors.Is(err, provider.ErrUncertain) {
		t.Errorf("by queries that cannot be read: error %v", err)
	}
	u.Take()
	u.Answer(refused(400, "FieldUnwanted", "unwanted field: created_at"))
	if _, err := New().Reconcile(t.Context(), u.With(account), req); !errors.Is(err, provider.ErrUncertain) {
		t.Errorf("a list that cannot be asked: error %v", err)
	}
	u.Answer(refused(429, "TooManyRequests", "x"))
	var e *provider.Error
	if _, err := New().Reconcile(t.Context(), u.With(account), req); !errors.As(err, &e) || e.Class != provider.Rate {
		t.Errorf("a list that cannot be asked now: error %v", err)
	}
}

func TestCancelRefusals(t *testing.T) {
	u := providertest.NewUpstream(t)
	for _, c := range []struct {
		reply providertest.Reply
		class provider.Class // empty = not cancellable
	}{
		{refused(400, "BadRequest", "task state is scheduled, can not cancel"), ""},
		{refused(409, "Conflict", "x"), ""},
		{refused(404, "TaskNotFound", "task not found"), provider.Gone},
		{providertest.Reply{Status: 404}, provider.Gone},
		{refused(401, "Unauthorized", "x"), provider.Credential},
		{refused(400, "FieldInvalid", "invalid field: id"), provider.Invalid},
		{refused(500, "InternalServiceFailure", "x"), provider.Unavailable},
	} {
		u.Answer(c.reply)
		err := New().Cancel(t.Context(), u.With(account), job(taskID))
		var e *provider.Error
		if c.class == "" && !errors.Is(err, provider.ErrNotCancellable) || c.class != "" && (!errors.As(err, &e) || e.Class != c.class) {
			t.Errorf("%d %s: error %v, want %q", c.reply.Status, c.reply.Body, err, c.class)
		}
	}
}

// An operator reads Vidu's word, its sentence and its trace id, whatever became of the call.
func TestErrorsCarryReasonAndTrace(t *testing.T) {
	u := providertest.NewUpstream(t)
	for says, reply := range map[string]providertest.Reply{"insufficient credits": refused(400, "CreditInsufficient", "insufficient credits"), "x": refused(500, "InternalServiceFailure", "x")} {
		u.Answer(reply)
		_, err := New().Submit(t.Context(), u.With(account), video("viduq2", 0))
		var e *provider.Error
		if !errors.As(err, &e) || byReason[e.Code] == "" || e.Detail != "trace 0f3c9d: "+says {
			t.Errorf("%s: error %+v", reply.Body, e)
		}
	}
	u.Answer(providertest.JSON(400, `{"code":"400","reason":"BadRequest","message":["x"],"metadata":"none"}`))
	_, err := New().Submit(t.Context(), u.With(account), video("viduq2", 0))
	var e *provider.Error
	if !errors.As(err, &e) || e.Code != "BadRequest" || e.Detail != "" {
		t.Errorf("odd types: error %+v", e)
	}
}

func TestSubmitNeverMakesAPathOfTheCallersWord(t *testing.T) {
	u := providertest.NewUpstream(t)
	if _, err := New().Submit(t.Context(), u.With(account), video("viduq2", 0, "route", `"tasks/1/cancel"`)); err == nil || len(u.Take()) != 0 {
		t.Errorf("error %v", err)
	}
}

func TestShapes(t *testing.T) {
	for _, c := range []struct {
		size, model string
		route
		want shape
		ok   bool
	}{
		{"", "viduq3-pro", text2Video, shape{}, true},
		{"auto", "viduq3-pro", text2Video, shape{}, true},
		{"auto", "viduq2", reference2Image, shape{ratio: "auto"}, true},
		{"16:9", "viduq3-pro", text2Video, shape{ratio: "16:9"}, true},
		{"32:18", "viduq3-pro", text2Video, shape{ratio: "16:9"}, true},
		{"1920x1080", "viduq3-pro", text2Video, shape{"16:9", "1080p"}, true},
		{"1080x1920", "viduq2", reference2Video, shape{"9:16", "1080p"}, true},
		{"1366x768", "viduq2", text2Video, shape{"16:9", "1080p"}, true},
		{"854x480", "viduq2", text2Video, shape{"16:9", "540p"}, true},
		{"720x540", "viduq2", text2Video, shape{"4:3", "540p"}, true},
		{"720x540", "viduq1", text2Video, shape{}, false},
		{"720x540", "viduq1", image2Video, shape{resolution: "540p"}, true},
		{"7:5", "viduq2-pro", image2Video, shape{}, true},
		{"1280x720", "viduq2-pro", startEnd2Video, shape{resolution: "720p"}, true},
		{"2160x3840", "viduq2-pro", image2Video, shape{}, false},
		{"1920x1080", "viduq2", template, shape{ratio: "16:9"}, true},
		{"4:3", "viduq2", template, shape{ratio: "4:3"}, true},
		{"1024x1792", "viduq7", text2Video, shape{"9:16", "1080p"}, true},
		{"1000x2000", "viduq7", text2Video, shape{"1:2", "1080p"}, true},
		{"2048x2048", "viduq2", reference2Image, shape{"1:1", "2K"}, true},
		{"0x0", "viduq2", text2Video, shape{}, false},
		{"x", "viduq2", text2Video, shape{}, false},
		{"9223372036854775808:1", "viduq2", text2Video, shape{}, false},
	} {
		got, ok := shapeOf(c.size, c.route, c.model)
		if ok != c.ok || c.ok && got != c.want {
			t.Errorf("%s for %s on %s: %+v %t, want %+v %t", c.size, c.model, c.route, got, ok, c.want, c.ok)
		}
	}
}

func TestEveryModelHasARoute(t *testing.T) {
	for _, m := range New().Describe().Models {
		upstream := m.UpstreamModel
		if upstream == "" {
			upstream = m.Name
		}
		for images := range 8 {
			req := video(upstream, images)
			req.Kind = m.Kind
			r := chooseRoute(req)
			if m.Kind == kinora.KindImage != (r == reference2Image) || images == 0 && m.Kind == kinora.KindVideo && r != text2Video {
				t.Errorf("%s with %d images: %s", m.Name, images, r)
			}
			if err := New().Validate(req); err != nil && (images > 0 || upstream != "viduq1") {
				t.Errorf("%s with %d images: %v", m.Name, images, err)
			}
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(created))
	f.Add([]byte(`{"state":"success","creations":[{"url":"https://cdn.example/v.mp4"}]}`))
	f.Add([]byte(`{"state":"failed","err_code":"UserCancelled","creations":{"url":1}}`))
	f.Add([]byte(`{"code":400,"reason":"FieldInvalid","message":"invalid field: prompt","metadata":{"trace_id":"t-1"}}`))
	up := provider.Upstream{Account: account}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var s task
		if json.Unmarshal(answer, &s) == nil {
			r := s.report(up, job(taskID), time.Now())
			if r.State == "" || r.State == provider.StateFailed && r.Err == nil || r.State == provider.StateSucceeded && len(r.Outputs) == 0 {
				t.Errorf("report %+v", r)
			}
		}
		for _, code := range []int{301, 400, 404, 429} {
			if e := refusal(up, provider.Answer{Status: code, Body: answer}); e.Class == "" || e.Class == provider.OutcomeUnknown || e.Message == "" {
				t.Errorf("refusal %+v", e)
			}
		}
	})
}

func FuzzValidate(f *testing.F) {
	f.Add("16:9", "viduq2", 2, `{"duration":"5","images":["x"]}`)
	f.Add("1920x1080", "viduq1-classic", 0, `{"route":"multiframe","image_settings":[{},{}]}`)
	f.Fuzz(func(t *testing.T, size, model string, images int, metadata string) {
		req := video(model, max(0, min(images, 12)))
		req.Size, req.Metadata = size, nil
		if json.Unmarshal([]byte(metadata), &req.Metadata) != nil {
			return
		}
		if err := New().Validate(req); err != nil {
			var e *provider.Error
			if !errors.As(err, &e) || e.Class != provider.Invalid || e.Message == "" {
				t.Errorf("error %v", err)
			}
			return
		}
		out, err := body(req, chooseRoute(req))
		if err != nil || !json.Valid(out) {
			t.Errorf("body %s, error %v", out, err)
		}
	})
}
