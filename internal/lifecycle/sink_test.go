package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"io"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// bodies are the same outputs in every answer.
func bodies(list ...[]byte) func() []io.Reader {
	return func() []io.Reader {
		var out []io.Reader
		for _, b := range list {
			out = append(out, iotest.HalfReader(bytes.NewReader(b)))
		}
		return out
	}
}

// halves is one that makes what is asked for by two calls.
type halves struct{ *answering }

func (halves) Parts(provider.Request) int { return 2 }

// answering is a fake whose outputs come inside the answer of its submit call.
type answering struct {
	*fake
	bodies func() []io.Reader
	// during is called when the outputs have been kept and the call has not returned.
	during func(ctx context.Context, req provider.Request)
}

func (f *answering) Describe() provider.Description {
	return provider.Description{Traits: func(string) provider.Traits { return provider.Traits{Synchronous: true} }}
}

func (f *answering) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	got, err := f.fake.Submit(ctx, up, req)
	if err != nil {
		return got, err
	}
	report := provider.Report{State: provider.StateSucceeded}
	for i, body := range f.bodies() {
		o, err := req.Sink.Keep(ctx, i, body)
		if err != nil {
			return provider.Accepted{}, provider.AsError(err, provider.OutcomeUnknown)
		}
		report.Outputs = append(report.Outputs, o)
	}
	if f.during != nil {
		f.during(ctx, req)
	}
	if err := ctx.Err(); err != nil {
		return provider.Accepted{}, provider.Errorf(provider.OutcomeUnknown, "broken off")
	}
	got.Report = &report
	return got, nil
}

func picture(t *testing.T, width int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, width, 4))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// full is a storage that takes nothing.
type full struct{ blob.Store }

func (full) Put(context.Context, string, io.Reader, blob.PutOptions) (blob.Attributes, error) {
	return blob.Attributes{}, &blob.Error{Op: "put", Kind: blob.ErrFull}
}

func TestOutputsThatComeInsideTheAnswerAreKept(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		first, second := picture(t, 8), picture(t, 16)
		up := &answering{fake: newFake(t), bodies: bodies(first, second)}
		up.outputs.Close() // nothing may be downloaded
		h := build(t, db, t.TempDir(), up).start(t)
		g, outputs := h.await(t, h.accept(t, submission("x")).ID)
		if g.State != kinora.GenerationSucceeded || len(outputs) != 2 {
			t.Fatalf("ended as %s (%+v) with %d outputs", g.State, g.Failure, len(outputs))
		}
		for i, want := range [][]byte{first, second} {
			o := outputs[i]
			if o.ContentType != "image/png" || o.Kind != kinora.KindImage || o.Width != 8*(i+1) || o.Bytes != int64(len(want)) || len(o.SHA256) != 64 {
				t.Errorf("output %d is %+v", i, o)
			}
			obj, err := h.blob.Open(t.Context(), o.BlobKey)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(obj)
			if err := errors.Join(err, obj.Close()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("output %d: stored %d bytes of %d, error %v", i, len(got), len(want), err)
			}
		}
		if ev, usage, _ := h.ledger(t, g.ID); ev != 1 || usage != 1 {
			t.Errorf("events %d, usage %d", ev, usage)
		}
	})
}

// Whatever goes wrong with an output inside an answer, the call is not made again: it was paid.
func TestOutputsThatCannotBeKept(t *testing.T) {
	whole := func(content []byte) func() io.Reader { return func() io.Reader { return bytes.NewReader(content) } }
	cut := func() io.Reader {
		return io.MultiReader(bytes.NewReader(picture(t, 8)[:40]), iotest.ErrReader(io.ErrUnexpectedEOF))
	}
	cases := map[string]struct {
		body    func() io.Reader
		options options
		want    kinora.FailureCode
	}{
		"not a picture":    {whole([]byte("<html>")), nil, kinora.FailureUpstream},
		"too large":        {whole(append(picture(t, 8), make([]byte, 5000)...)), func(c *lifecycle.Config) { c.MaxOutput = 1000 }, kinora.FailureUpstream},
		"breaks off":       {cut, nil, kinora.FailureOutcomeUnknown},
		"the disk is full": {whole(picture(t, 8)), func(c *lifecycle.Config) { c.Blob = full{c.Blob} }, kinora.FailureOutcomeUnknown},
		"damaged":          {whole(picture(t, 8)[:40]), nil, kinora.FailureUpstream},
	}
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				up := &answering{fake: newFake(t), bodies: func() []io.Reader { return []io.Reader{c.body()} }}
				var opts []options
				if c.options != nil {
					opts = append(opts, c.options)
				}
				h := build(t, db, t.TempDir(), up, opts...).start(t)
				g, _ := h.await(t, h.accept(t, submission("x")).ID)
				if g.Failure == nil || g.Failure.Code != c.want {
					t.Errorf("ended as %s (%+v), want %s", g.State, g.Failure, c.want)
				}
				if n := up.submits[g.ID+"_0"]; n != 1 {
					t.Errorf("submitted %d times", n)
				}
				h.stop()
			})
		}
	})
}

// A process that dies with an output in its hands has paid for it, and nobody pays again.
func TestCrashBetweenAnOutputAndItsCommit(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		dir := t.TempDir()
		kept := make(chan struct{})
		dying := &answering{fake: newFake(t), bodies: bodies(picture(t, 8)), during: func(ctx context.Context, _ provider.Request) {
			close(kept)
			<-ctx.Done()
		}}
		first := build(t, db, dir, dying).start(t)
		g := first.accept(t, submission("x"))
		<-kept
		dead, cancel := context.WithCancel(t.Context())
		cancel()
		_ = first.Stop(dead) // breaks off what is in hand, as an end of the process would
		next := &answering{fake: newFake(t)}
		h := build(t, db, dir, next).start(t)
		g, outputs := h.await(t, g.ID)
		if g.Failure == nil || g.Failure.Code != kinora.FailureOutcomeUnknown || len(outputs) != 0 {
			t.Errorf("ended as %s (%+v) with %d outputs", g.State, g.Failure, len(outputs))
		}
		if n := len(next.submits); n != 0 {
			t.Errorf("submitted %d times more", n)
		}
	})
}

// The progress of two calls for one generation is that of the two together, and each writes its own once in a pause.
func TestProgressOfACallThatLastsAsLongAsItsGeneration(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		for pause, want := range map[time.Duration]int{time.Hour: 40, time.Nanosecond: 41} {
			t.Run(pause.String(), func(t *testing.T) {
				told, held := make(chan struct{}, 2), make(chan struct{})
				up := &answering{fake: newFake(t), bodies: bodies(picture(t, 8)), during: func(_ context.Context, req provider.Request) {
					req.Progress(40)
					time.Sleep(time.Microsecond) // a nanosecond, by any clock
					req.Progress(41)
					told <- struct{}{}
					<-held
				}}
				h := build(t, db, t.TempDir(), halves{up}, func(c *lifecycle.Config) {
					c.Timing.Beat = time.Minute // a progress that is not written within a beat is left
					c.Timing.Progress = pause
				}).start(t)
				finish := sync.OnceFunc(func() { close(held) })
				t.Cleanup(finish) // or a stop would wait for the calls
				id := h.accept(t, submission("x")).ID
				h.until(t, "both have told", func() bool { return len(told) == 2 })
				for i, a := range h.attempts(t, id) {
					if a.Progress != want {
						t.Errorf("the progress of call %d is %d, want %d", i, a.Progress, want)
					}
				}
				if g, _, err := h.Generation(t.Context(), organisation, id); err != nil || g.State != kinora.GenerationRunning || g.Progress < 40 || g.Progress > want {
					t.Errorf("%+v, error %v", g, err)
				}
				finish()
				if g, _ := h.await(t, id); g.State != kinora.GenerationSucceeded || g.Progress != 100 {
					t.Errorf("ended as %s with progress %d", g.State, g.Progress)
				}
				h.stop()
			})
		}
	})
}
