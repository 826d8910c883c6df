package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

// streamed is an answer of server-sent events, given as name and data in turn; an empty name
// is not sent.
func streamed(pairs ...string) providertest.Reply {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != "" {
			b.WriteString("event: " + pairs[i] + "\n")
		}
		b.WriteString("data: " + pairs[i+1] + "\n\n")
	}
	return providertest.Reply{Status: 200, Header: map[string]string{"Content-Type": "text/event-stream; charset=utf-8"}, Body: b.String()}
}

const (
	partialEvent   = "image_generation.partial_image"
	completedEvent = "image_generation.completed"
)

func partial(i int) string {
	return fmt.Sprintf(`{"type":"image_generation.partial_image","b64_json":%q,"partial_image_index":%d}`, encoded(dot(9)), i)
}

func completed(side int) string {
	return fmt.Sprintf(`{"type":"image_generation.completed","b64_json":%q,"usage":{"total_tokens":100}}`, encoded(dot(side)))
}

// tried submits against one answer.
func tried(t *testing.T, reply providertest.Reply, changes ...func(*provider.Request)) (provider.Accepted, error) {
	t.Helper()
	u := providertest.NewUpstream(t)
	u.Answer(reply)
	return New().Submit(t.Context(), u.With(with()), aPicture(changes...))
}

func TestStreamShowsProgressAndKeepsTheImage(t *testing.T) {
	made := provider.Accepted{Report: &provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{providertest.Stored(0, dot(4), "image/png")}}}
	for name, c := range map[string]struct {
		reply    providertest.Reply
		progress []int
	}{
		"partial images":   {streamed(partialEvent, partial(0), partialEvent, partial(1), partialEvent, partial(2), completedEvent, completed(4)), []int{25, 50, 75}},
		"fewer than asked": {streamed(partialEvent, partial(0), completedEvent, completed(4)), []int{25}},
		"none":             {streamed(completedEvent, completed(4)), nil},
		"an edit":          {streamed("image_edit.partial_image", strings.Replace(partial(0), "generation", "edit", 1), "image_edit.completed", completed(4)), []int{25}},
		"without names":    {streamed("", partial(0), "", completed(4), "", "[DONE]"), []int{25}},
		"with comments":    {providertest.Reply{Header: map[string]string{"Content-Type": "text/event-stream"}, Body: ": ping\n\nevent: " + completedEvent + "\ndata: " + completed(4)}, nil},
		"no stream at all": {imageReply(dot(4)), nil},
	} {
		var progress []int
		got, err := tried(t, c.reply, meta("partial_images", "3"), func(r *provider.Request) {
			r.Progress = func(p int) { progress = append(progress, p) }
		})
		if err != nil || !reflect.DeepEqual(got, made) || !reflect.DeepEqual(progress, c.progress) {
			t.Errorf("%s: accepted %+v with progress %v, error %v", name, got.Report, progress, err)
		}
	}
}

// What an image call brings is all there ever is: whatever goes wrong with it says whether it
// may be made again.
func TestAnswersThatBringNoImage(t *testing.T) {
	wrong := func(code string) string {
		return fmt.Sprintf(`{"type":"error","error":{"code":%q,"message":"m","type":"x"}}`, code)
	}
	const unknown = provider.OutcomeUnknown
	for name, c := range map[string]struct {
		reply  providertest.Reply
		class  provider.Class
		failed bool // told as the end of an accepted job
	}{
		"moderation":                 {streamed("error", wrong("moderation_blocked")), provider.Moderation, false},
		"moderation at last":         {streamed(partialEvent, partial(0), "error", wrong("moderation_blocked")), provider.Moderation, true},
		"moderation of a flat event": {streamed("error", `{"type":"error","code":"moderation_blocked","message":"m"}`), provider.Moderation, false},
		"rate":                       {streamed("error", wrong("rate_limit_exceeded")), provider.Rate, false},
		"rate at last":               {streamed(partialEvent, partial(0), "error", wrong("rate_limit_exceeded")), provider.Generation, true},
		"a fault":                    {streamed("error", wrong("server_error")), unknown, false},
		"a fault at last":            {streamed(partialEvent, partial(0), "error", wrong("server_error")), provider.Generation, true},
		"an end too early":           {streamed(partialEvent, partial(0)), unknown, false},
		"an empty stream":            {streamed(), unknown, false},
		"a cut stream":               {providertest.Reply{Header: streamed().Header, Body: streamed(completedEvent, completed(40)).Body, Cut: providertest.CutBody}, unknown, false},
		"no JSON":                    {streamed(completedEvent, "<html>"), unknown, false},
		"no image":                   {providertest.JSON(200, `{"created":1,"data":[]}`), unknown, false},
		"an empty image":             {providertest.JSON(200, `{"created":1,"data":[{"b64_json":""}]}`), unknown, false},
		"a reason":                   {providertest.JSON(200, `{"error":{"code":"content_policy_violation"}}`), provider.Moderation, false},
		"bad base64":                 {providertest.JSON(200, `{"data":[{"b64_json":"iVBORw0KGgo!!!!"}]}`), provider.Generation, true},
		"no picture":                 {providertest.JSON(200, `{"data":[{"b64_json":"`+encoded([]byte("<html>"))+`"}]}`), provider.Generation, true},
	} {
		got, err := tried(t, c.reply)
		var e *provider.Error
		if c.failed {
			if err != nil || got.Report == nil || got.Report.State != provider.StateFailed || got.Report.Err.Class != c.class {
				t.Errorf("%s: accepted %+v, error %v; want a failure of class %s", name, got.Report, err, c.class)
			}
			continue
		}
		if !errors.As(err, &e) || e.Class != c.class {
			t.Errorf("%s: accepted %+v, error %v; want class %s", name, got.Report, err, c.class)
		}
	}
	_, err := tried(t, imageReply(dot(1)), func(r *provider.Request) {
		r.Sink = &providertest.Sink{Fail: provider.Errorf(unknown, "the output could not be stored")}
	})
	if e := provider.AsError(err, ""); e == nil || e.Class != unknown {
		t.Errorf("an image that is lost here: error %v", err)
	}
}

// Servers of one's own may answer with addresses.
func TestImagesByURL(t *testing.T) {
	got, err := tried(t, providertest.JSON(200, `{"data":[{"url":"https://cdn.example/1.png"},{"b64_json":"`+encoded(dot(5))+`"}]}`))
	want := []provider.Output{{URL: "https://cdn.example/1.png", Kind: kinora.KindImage}, providertest.Stored(1, dot(5), "image/png")}
	if err != nil || !reflect.DeepEqual(got.Report.Outputs, want) {
		t.Errorf("accepted %+v, error %v", got.Report, err)
	}
}

// An image that cannot be used leaves the others, which were paid for, as they are.
func TestOneSpoiltImageDoesNotLoseTheOthers(t *testing.T) {
	good := func(i, side int) provider.Output { return providertest.Stored(i, dot(side), "image/png") }
	image := func(text string) string { return `{"b64_json":"` + text + `"}` }
	html := image(encoded([]byte("<html>")))
	for name, c := range map[string]struct {
		data string
		want []provider.Output
	}{
		"the first": {html + "," + image(encoded(dot(2))) + "," + image(encoded(dot(3))), []provider.Output{good(1, 2), good(2, 3)}},
		"the last":  {image(encoded(dot(2))) + "," + image("iVBORw0KGgo!!!!"), []provider.Output{good(0, 2)}},
		"two":       {image("a") + "," + image(encoded(dot(2))) + "," + html, []provider.Output{good(1, 2)}},
		"all":       {html + "," + image("!"), nil},
	} {
		got, err := tried(t, providertest.JSON(200, `{"created":1,"data":[`+c.data+`]}`), meta("n", "3"))
		switch {
		case err != nil || got.Report == nil || !reflect.DeepEqual(got.Report.Outputs, c.want):
			t.Errorf("%s: accepted %+v, error %v", name, got.Report, err)
		case c.want == nil && (got.Report.State != provider.StateFailed || got.Report.Err.Class != provider.Generation):
			t.Errorf("%s: %+v", name, got.Report)
		}
	}
	got, err := tried(t, streamed(partialEvent, partial(0), completedEvent, html))
	if err != nil || got.Report == nil || got.Report.State != provider.StateFailed || got.Report.Err.Class != provider.Generation {
		t.Errorf("a stream's only one: accepted %+v, error %v", got.Report, err)
	}
	// What is lost behind it is as unknown as ever.
	_, err = tried(t, providertest.Reply{Body: `{"data":[` + html + `,` + image(encoded(dot(60))), Cut: providertest.CutBody}, meta("n", "2"))
	if e := provider.AsError(err, ""); err == nil || e.Class != provider.OutcomeUnknown {
		t.Errorf("a cut answer: %v", err)
	}
}

// counting is a Sink that holds nothing.
type counting struct{ n int64 }

func (c *counting) Keep(_ context.Context, i int, r io.Reader) (provider.Output, error) {
	n, err := io.Copy(io.Discard, r)
	c.n += n
	return provider.Output{Kind: kinora.KindImage, Kept: &provider.Kept{Key: fmt.Sprint(i), Bytes: n}}, err
}

// An answer of many megabytes costs no more memory than a small one, in each of its forms.
func TestLargeImagesAreNotHeld(t *testing.T) {
	const size = 48 << 20 // of base64
	for form, typ := range map[string]string{`{"created":1,"data":[{"b64_json":"%s"}]}`: "application/json", "event: " + completedEvent + "\ndata: {\"b64_json\":\"%s\"}\n\n": "text/event-stream"} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			before, after, _ := strings.Cut(form, "%s")
			w.Header().Set("Content-Type", typ)
			_, _ = io.WriteString(w, before)
			chunk := strings.Repeat("A", 1<<16)
			for range size / len(chunk) {
				_, _ = io.WriteString(w, chunk)
			}
			_, _ = io.WriteString(w, after)
		}))
		client := srv.Client()
		account := with()
		account.BaseURL = srv.URL
		sink := &counting{}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := New().Submit(t.Context(), provider.Upstream{Account: account, Client: client}, aPicture(func(r *provider.Request) { r.Sink = sink }))
		runtime.ReadMemStats(&after)
		client.CloseIdleConnections()
		srv.Close()
		if err != nil || got.Report == nil || sink.n != size/4*3 {
			t.Errorf("%s: kept %d bytes, error %v", typ, sink.n, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
			t.Errorf("%s: %d bytes were allocated for an image of %d", typ, used, size)
		}
	}
}

func TestResponsePicturesAreReadOutOfTheAnswer(t *testing.T) {
	u := providertest.NewUpstream(t)
	up := u.With(with())
	job := provider.Job{UpstreamID: responseID, UpstreamModel: "responses:gpt-5.6-terra", Kind: kinora.KindImage}
	first, second := dot(6), dot(7)
	u.Answer(responseAnswer(`"status":"completed","output":[{"type":"message"},{"type":"image_generation_call","result":"` + encoded(first) +
		`"},{"type":"image_generation_call","result":"` + encoded(second) + `"}]`))
	reports, err := New().Poll(t.Context(), up, []provider.Job{job})
	if err != nil || len(reports) != 1 || len(reports[0].Outputs) != 2 {
		t.Fatalf("%+v, error %v", reports, err)
	}
	for i, want := range [][]byte{first, second} {
		res, err := New().OpenOutput(t.Context(), up, job, reports[0].Outputs[i])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil || string(got) != string(want) {
			t.Errorf("picture %d: %d bytes of %d, error %v", i, len(got), len(want), err)
		}
	}
	// A reader that gives up leaves nothing behind: the test's end looks for goroutines.
	res, err := New().OpenOutput(t.Context(), up, job, reports[0].Outputs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		reply providertest.Reply
		class provider.Class
	}{
		"gone":       {refused(404, "", "invalid_request_error", ""), provider.Gone},
		"no picture": {responseAnswer(`"output":[]`), provider.Gone},
		"cut":        {providertest.Reply{Body: `{"output":[1,{"result":"` + encoded(dot(60)) + `"}]}`, Cut: providertest.CutBody}, provider.Unavailable},
	} {
		u.Answer(c.reply)
		res, err := New().OpenOutput(t.Context(), up, job, reports[0].Outputs[0])
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		if e := provider.AsError(err, provider.Unavailable); err == nil || e.Class != c.class {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A file that is not there yet is not gone, whatever the status says.
func TestContentThatIsNotReady(t *testing.T) {
	u := providertest.NewUpstream(t)
	up := u.With(with())
	job := provider.Job{UpstreamID: videoID, UpstreamModel: "sora-2", Kind: kinora.KindVideo}
	out := provider.Output{Kind: kinora.KindVideo, Handle: handle{Video: videoID}.encode()}
	for name, c := range map[string]struct {
		reply providertest.Reply
		class provider.Class
	}{
		"SGLang's":  {providertest.JSON(404, `{"detail":"Generation is still in-progress"}`), provider.Unavailable},
		"news":      {providertest.JSON(200, `{"status":"in_progress"}`), provider.Unavailable},
		"accepted":  {providertest.Reply{Status: 202}, provider.Unavailable},
		"forgotten": {providertest.JSON(404, `{"detail":"Video not found"}`), provider.Gone},
		"nowhere":   {providertest.Reply{Status: 302}, provider.Unavailable},
	} {
		u.Answer(c.reply)
		res, err := New().OpenOutput(t.Context(), up, job, out)
		if err == nil {
			_ = res.Body.Close()
		}
		if e := provider.AsError(err, ""); err == nil || e.Class != c.class {
			t.Errorf("%s: error %v, want class %s", name, err, c.class)
		}
	}
	// A file that lies elsewhere is told of, for a download without the key.
	for location, want := range map[string]string{
		"https://cdn.example/x?sig=a%2Fb": "https://cdn.example/x?sig=a%2Fb", "/files/x.mp4": u.URL + "/files/x.mp4",
	} {
		u.Answer(providertest.Reply{Status: 302, Header: map[string]string{"Location": location}})
		_, err := New().OpenOutput(t.Context(), up, job, out)
		var moved *provider.Moved
		if !errors.As(err, &moved) || moved.URL != want {
			t.Errorf("%s: error %v", location, err)
		}
	}
	u.Answer(providertest.JSON(404, `{"detail":"Video not found"}`))
	if reports, err := New().Poll(t.Context(), up, []provider.Job{job}); err != nil || len(reports) != 0 {
		t.Errorf("a video that the server has forgotten: %+v, error %v", reports, err)
	}
}

// A caller's file that cannot be had costs nothing: no call is made.
func TestSourcesThatCannotBeHad(t *testing.T) {
	u := providertest.NewUpstream(t)
	up := u.With(with(SettingSubmit, "multipart", SettingEdits, "multipart"))
	up.Sources = providertest.Sources{"https://img.example/1.png?a=1&b=2": dot(1)}
	for field, req := range map[string]provider.Request{
		"input.images[1] could not be fetched":         aPicture(sources(2)),
		"input.metadata.mask_url could not be fetched": aPicture(sources(1), meta("mask_url", `"https://h/m.png"`)),
		"input.image could not be fetched":             aVideo(func(r *provider.Request) { r.Images = []string{"https://img.example/0.png"} }),
	} {
		_, err := New().Submit(t.Context(), up, req)
		if e := provider.AsError(err, ""); err == nil || e.Class != provider.Invalid || !strings.HasPrefix(e.Message, field) || len(u.Take()) != 0 {
			t.Errorf("%s: error %v", field, err)
		}
	}
}

// A model of images whose id does not say so would be called as if it answered at once.
func TestImageModelsHaveToBeTold(t *testing.T) {
	for name, c := range map[string]struct {
		kind  kinora.Kind
		taken bool
	}{
		"flux-dev": {kinora.KindImage, false}, "images:flux-dev": {kinora.KindImage, true}, "Qwen/Qwen-Image": {kinora.KindImage, true},
		"responses:gpt-5.6-terra": {kinora.KindImage, true}, "wan": {kinora.KindVideo, true},
	} {
		err := New().CheckModel(name, c.kind)
		if (err == nil) != c.taken || err != nil && !strings.Contains(err.Error(), "images:") {
			t.Errorf("%s as a model of kind %s: %v", name, c.kind, err)
		}
	}
	err := New().Validate(aPicture(model("flux-dev")))
	if e := provider.AsError(err, ""); err == nil || e.Class != provider.ModelGone || !strings.Contains(e.Message, "images:") {
		t.Errorf("a request: %v", err)
	}
}

func TestTargets(t *testing.T) {
	for name, want := range map[string]target{
		"gpt-image-2": {images, "gpt-image-2", ""}, "sora-2-pro": {videos, "sora-2-pro", ""}, "images:Tongyi/Z": {images, "Tongyi/Z", ""},
		"videos:an-image-in-motion": {videos, "an-image-in-motion", ""}, "responses:gpt-5.6-terra": {responses, "gpt-5.6-terra", ""},
		"responses:gpt-5.6+gpt-image-2": {responses, "gpt-5.6", "gpt-image-2"}, "Qwen/Qwen-Image": {images, "Qwen/Qwen-Image", ""},
		"CogVideoX-Image2Video": {videos, "CogVideoX-Image2Video", ""}, "ft:gpt-image-2:acme": {images, "ft:gpt-image-2:acme", ""}, "wan": {videos, "wan", ""},
	} {
		if got := targetOf(name, kinora.KindVideo); got != want {
			t.Errorf("%s goes to %+v, want %+v", name, got, want)
		}
		if traits := traits(name); traits.Synchronous != (want.api == images) {
			t.Errorf("%s: %+v", name, traits)
		}
	}
	for name, want := range map[string]int{"responses:gpt-5.6-terra": 3, "gpt-image-2": 1} {
		if got := New().Parts(aPicture(model(name), meta("n", "3"))); got != want {
			t.Errorf("%s takes %d calls, want %d", name, got, want)
		}
	}
	if got := targetOf("flux", kinora.KindImage); got.api != images {
		t.Errorf("a model that is configured as one of images goes to %+v", got)
	}
}
