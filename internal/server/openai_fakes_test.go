package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

const videoOne = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9R"

// fakeVideos are the videos among the fake generations.
type fakeVideos struct{ g *fakeGenerations }

func (f fakeVideos) Video(ctx context.Context, organisationID, id string) (*kinora.Video, error) {
	g, outputs, err := f.g.Generation(ctx, organisationID, id)
	if err != nil {
		return nil, err
	}
	if g.Kind != kinora.KindVideo {
		return nil, kinora.Errorf(kinora.ErrNotFound, "no video")
	}
	v := &kinora.Video{Generation: g, Outputs: outputs}
	if len(outputs) > 0 {
		v.ExpiresAt = outputs[0].CreatedAt.Add(72 * time.Hour)
	}
	return v, nil
}

func (f fakeVideos) Videos(ctx context.Context, organisationID string, page kinora.VideoPage) ([]*kinora.Video, bool, error) {
	v, err := f.Video(ctx, organisationID, videoOne)
	if err != nil {
		return nil, false, err
	}
	if page.After != "" {
		if page.After != videoOne {
			return nil, false, kinora.Errorf(kinora.ErrNotFound, "there is no such video")
		}
		return nil, false, nil
	}
	return []*kinora.Video{v}, page.Limit == 1 && page.Ascending, nil
}

func (f fakeVideos) DeleteVideo(ctx context.Context, organisationID, id string) error {
	if _, err := f.Video(ctx, organisationID, id); err != nil {
		return err
	}
	f.g.mu.Lock()
	defer f.g.mu.Unlock()
	delete(f.g.stored, id)
	return nil
}

func videoDone() *kinora.Generation {
	return &kinora.Generation{ID: videoOne, OrganisationID: ownID, Kind: kinora.KindVideo, Model: "kling-v1", State: kinora.GenerationSucceeded, Progress: 100,
		CreatedAt: testTime, UpdatedAt: testTime, CompletedAt: testTime.Add(time.Minute), Input: kinora.Input{Prompt: "a boat"}}
}

func videoOutput() kinora.Output {
	return kinora.Output{ID: "out_9", Role: "primary", BlobKey: "out/1.mp4", Kind: kinora.KindVideo, ContentType: "video/mp4", Width: 1280, Height: 720,
		Duration: 4040 * time.Millisecond, SHA256: strings.Repeat("ab", 32), CreatedAt: testTime}
}

// imageIn is the generation that the fake makes of every submission, in another state.
func imageIn(state kinora.GenerationState, failure *kinora.Failure) *kinora.Generation {
	return &kinora.Generation{ID: taskOne, OrganisationID: ownID, Kind: kinora.KindImage, Model: "nano-banana-2", State: state, Failure: failure, CreatedAt: testTime}
}

// addOpenAIExchanges brings about every answer under /v1.
func addOpenAIExchanges(add func(status int, method, target, body string, change ...func(*http.Request)) *exchangeCase) {
	const video, image = `{"model":"kling-v1","prompt":"a boat"}`, `{"model":"nano-banana-2","prompt":"a boat"}`
	const content = videosPath + "/" + videoOne + "/content"
	large := `{"prompt":"` + strings.Repeat("x", 1<<20) + `"}`
	multipart := func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=b") }
	text := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	file := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"; filename=\"a.png\"\r\n\r\n" + value + "\r\n"
	}
	accept := func(err error) func(*fixture) {
		return func(f *fixture) {
			f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) { return nil, err }
		}
	}
	ending := func(state kinora.GenerationState, code kinora.FailureCode) func(*fixture) {
		return func(f *fixture) {
			f.holdFor(time.Millisecond)
			var failure *kinora.Failure
			if code != "" {
				failure = kinora.NewFailure(code, "it failed")
			}
			f.generations.store(imageIn(state, failure))
		}
	}
	add(200, "POST", videosPath, video)
	add(200, "POST", videosPath, text("model", "kling-v1")+text("prompt", "a boat")+file("input_reference", "content")+"--b--\r\n", multipart)
	add(400, "POST", videosPath, `{}`)
	add(404, "POST", videosPath, `{"model":"x","prompt":"a boat"}`)
	add(409, "POST", videosPath, video).before = accept(kinora.Errorf(kinora.ErrConflict, "used"))
	add(413, "POST", videosPath, large)
	add(429, "POST", videosPath, video).before = accept(kinora.Errorf(kinora.ErrBudget, "the budget is spent"))
	add(200, "GET", videosPath, "")
	add(200, "GET", videosPath+"?limit=1&order=asc", "")
	add(400, "GET", videosPath+"?limit=0", "")
	add(200, "GET", videosPath+"/"+videoOne, "")
	add(404, "GET", videosPath+"/"+taskOne, "")
	add(200, "GET", content, "")
	add(206, "GET", content, "", header("Range", "bytes=0-1"))
	add(400, "GET", content+"?variant=thumbnail", "")
	add(404, "GET", videosPath+"/"+taskOne+"/content", "")
	add(416, "GET", content, "", header("Range", "bytes=99-"))
	add(500, "GET", content, "").config = []func(*Config){func(c *Config) { c.Files = brokenFiles{errors.New("x")} }}
	add(200, "DELETE", videosPath+"/"+videoOne, "")
	add(404, "DELETE", videosPath+"/x", "")
	add(200, "POST", imageEditsPath, text("model", "nano-banana-2")+text("prompt", "night")+file("image[]", "content")+file("image[]", "content 2")+file("mask", "content")+"--b--\r\n", multipart)
	for _, path := range []string{imagesPath, imageEditsPath} {
		from := strings.Replace(image, "{", `{"images":["https://a.example/a.png"],`, 1)
		add(200, "POST", path, from)
		add(200, "POST", path, strings.Replace(from, "{", `{"response_format":"url",`, 1))
		add(202, "POST", path, strings.Replace(from, "{", `{"async":true,`, 1))
		add(202, "POST", path, strings.Replace(from, "{", `{"background":true,`, 1))
		add(202, "POST", path, from, header("Prefer", "respond-async"))
		add(400, "POST", path, `{}`)
		add(400, "POST", path, from).before = ending(kinora.GenerationFailed, kinora.FailureContentRejected)
		add(404, "POST", path, `{"model":"x","prompt":"a boat"}`)
		add(409, "POST", path, from).before = accept(kinora.Errorf(kinora.ErrConflict, "used"))
		add(409, "POST", path, from).before = ending(kinora.GenerationCancelled, "")
		add(413, "POST", path, large)
		add(500, "POST", path, from).before = ending(kinora.GenerationFailed, kinora.FailureInternal)
		add(502, "POST", path, from).before = ending(kinora.GenerationFailed, kinora.FailureUpstream)
		add(503, "POST", path, from).before = accept(kinora.Errorf(kinora.ErrNoUpstream, "no account"))
		add(504, "POST", path, from).before = ending(kinora.GenerationFailed, kinora.FailureTimeout)
		add(504, "POST", path, from).before = ending(kinora.GenerationRunning, "")
	}
	const one = imagesPath + "/" + taskOne
	add(200, "GET", one, "")
	add(200, "GET", one+"?response_format=b64_json", "")
	add(200, "GET", one, "").before = ending(kinora.GenerationRunning, "")
	add(200, "GET", one, "").before = ending(kinora.GenerationFailed, kinora.FailureTimeout)
	add(400, "GET", one+"?response_format=x", "")
	add(404, "GET", imagesPath+"/"+videoOne, "")
}

// holdFor changes how long answers are held.
func (f *fixture) holdFor(d time.Duration) { f.cfg.MaxWait = d }
