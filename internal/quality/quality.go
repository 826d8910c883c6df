// Package quality judges outputs: whether one may be published, and how good it is among others. It is the gate of
// workflows (generations API contract 6.2).
//
// The checks are measurements of the picture that always come to the same result, and, where the operator has one, a
// question to his own checker. What becomes of a verdict is not its duty; that is package lifecycle.
package quality

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/media"
)

const (
	// MaxPixels is the largest picture that is decoded. What is larger does not pass: nobody has seen it.
	MaxPixels = 64 << 20
	// MaxBytes is the largest image file that is read.
	MaxBytes = 96 << 20
	// aspectTolerance goes with an Aspect that names none.
	aspectTolerance = 0.01
	// leastDeviation is the standard deviation of brightness, as a share of full scale, below which a picture is blank or
	// flat. A sheet of paper has 0.005, fog over a field 0.05, a product on white 0.1, a room 0.2.
	leastDeviation = 0.02
)

// skipped begins the detail of a check that had nothing to compare with.
const skipped = "skipped: "

// The names of checks, which are those of a gate's keys where there is one.
const (
	CheckDecodes   = "decodes"
	CheckMinWidth  = "min_width"
	CheckMinHeight = "min_height"
	CheckAspect    = "aspect"
	CheckNotBlank  = "not_blank"
	CheckChanged   = "changed"
	CheckStructure = "structure"
	CheckDuration  = "duration"
	CheckHook      = "hook"
)

// Source is the picture that a generation was made from, as it is kept.
type Source struct {
	AssetID       string
	Width, Height int    // pixels, upright
	SHA256        string // of the file; what is known of it is kept in memory under this
	BlobKey       string
	Open          func(ctx context.Context) (io.ReadSeekCloser, error)
}

// Config is what a Judge works with.
type Config struct {
	// SourceOf finds the source of a generation; nil without an error = there is none, and checks against it are skipped.
	SourceOf func(ctx context.Context, g *kinora.Generation) (*Source, error)
	// Secrets are the secrets of an organisation that sign now, the current one first.
	Secrets func(ctx context.Context, organisationID string) ([]kinora.WebhookSecret, error)
	// FileURL makes a signed URL for a stored file, for an operator's checker.
	FileURL func(key string) (string, time.Time)
	// Client reaches operators' checkers. It follows no redirect.
	Client *http.Client
	// UserAgent is sent to them.
	UserAgent string
	Now       func() time.Time      // nil = the machine's
	Metrics   prometheus.Registerer // nil = none
}

// Judge measures outputs. Its methods are safe for concurrent use.
type Judge struct {
	cfg     Config
	slots   *semaphore.Weighted // pictures in work
	pixels  *semaphore.Weighted // of those that are decoded
	sources *recent
	metrics *metrics
}

// New returns a Judge.
func New(cfg Config) *Judge {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Judge{
		cfg: cfg, slots: semaphore.NewWeighted(int64(max(runtime.GOMAXPROCS(0), 2))), pixels: semaphore.NewWeighted(MaxPixels),
		sources: newRecent(), metrics: newMetrics(cfg.Metrics),
	}
}

// Opener reads a stored file.
type Opener = func(context.Context) (io.ReadSeekCloser, error)

// Judge measures an output of g against g.Plan.Gate. The operator's checker is asked last, and only about what has passed
// everything else. An error says that nothing could be found out now; the verdict is void then.
func (j *Judge) Judge(ctx context.Context, g *kinora.Generation, o *kinora.Output, open func(context.Context) (io.ReadSeekCloser, error)) (kinora.Verdict, error) {
	gate := g.Plan.Gate
	if gate == nil {
		return kinora.Verdict{Passed: true, Score: 1}, nil
	}
	source, err := j.cfg.SourceOf(ctx, g)
	if err != nil {
		return kinora.Verdict{}, fmt.Errorf("quality: source: %w", err)
	}
	began := time.Now()
	r := &report{gate: gate}
	if o.Kind == kinora.KindVideo {
		err = j.video(ctx, r, open)
	} else {
		err = j.image(ctx, r, source, open)
	}
	if err != nil {
		return kinora.Verdict{}, fmt.Errorf("quality: %w", err)
	}
	if gate.Hook.URL != "" && r.verdict().Passed {
		answer, err := j.ask(ctx, gate.Hook, question{g: g, o: o, source: source, verdict: r.verdict()})
		j.metrics.asked(err)
		if err != nil {
			return kinora.Verdict{}, fmt.Errorf("quality: %w", err)
		}
		r.heard(answer)
	}
	v := r.verdict()
	j.metrics.judged(v, time.Since(began))
	return v, nil
}

// video looks at what a video's headers say.
func (j *Judge) video(ctx context.Context, r *report, open Opener) error {
	file, err := open(ctx)
	if err != nil {
		return fmt.Errorf("open the output: %w", err)
	}
	defer file.Close()
	p, err := media.Probe(file)
	if err != nil && !unusable(err) {
		return fmt.Errorf("read the output: %w", err)
	}
	switch {
	case err != nil:
		r.add(kinora.Check{Name: CheckDecodes, Detail: reason(err)})
	case p.Type.Kind() != media.KindVideo:
		r.add(kinora.Check{Name: CheckDecodes, Detail: "it is no video but " + p.Type.ContentType()})
	default:
		width, height := p.DisplaySize()
		r.add(kinora.Check{Name: CheckDecodes, Passed: true, Detail: described(p)})
		r.add(kinora.Check{Name: CheckDuration, Passed: p.Duration > 0, Value: p.Duration.Seconds(), Detail: "seconds"})
		r.size(width, height)
		if r.gate.Aspect > 0 {
			r.aspect(width, height, nil)
		}
	}
	return nil
}

// image decodes an image and measures it, alone and against its source.
func (j *Judge) image(ctx context.Context, r *report, source *Source, open Opener) error {
	if err := j.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer j.slots.Release(1)
	seen, p, err := j.look(ctx, open)
	if err != nil {
		if !unusable(err) {
			return fmt.Errorf("read the output: %w", err)
		}
		r.add(kinora.Check{Name: CheckDecodes, Detail: reason(err)})
		return nil
	}
	r.add(kinora.Check{Name: CheckDecodes, Passed: true, Detail: described(p)})
	width, height := p.DisplaySize()
	r.size(width, height)
	if r.gate.Aspect > 0 || r.gate.AspectTolerance > 0 {
		r.aspect(width, height, source)
	}
	if r.gate.NotBlank {
		deviation := seen.deviation()
		r.add(kinora.Check{Name: CheckNotBlank, Passed: deviation >= leastDeviation, Value: round(deviation), Limit: leastDeviation})
	}
	if r.gate.Changed == 0 && r.gate.Structure == 0 {
		return nil
	}
	was, why, err := j.sourcePicture(ctx, source)
	if err != nil {
		return err
	}
	r.compare(seen, was, why)
	return nil
}

// sourcePicture is what is known of a source; nil with a reason when nothing can be.
func (j *Judge) sourcePicture(ctx context.Context, s *Source) (was *picture, why string, err error) {
	if s == nil {
		return nil, skipped + "there is no source", nil
	}
	if was := j.sources.get(s.SHA256); was != nil {
		return was, "", nil
	}
	was, _, err = j.look(ctx, s.Open)
	switch {
	case err == nil:
		j.sources.put(s.SHA256, was)
		return was, "", nil
	case unusable(err):
		return nil, skipped + "the source cannot be compared with: " + reason(err), nil
	}
	return nil, "", fmt.Errorf("read the source: %w", err)
}

// look reads a file and makes a picture of it in bounded memory.
func (j *Judge) look(ctx context.Context, open Opener) (*picture, media.Properties, error) {
	file, err := open(ctx)
	if err != nil {
		return nil, media.Properties{}, err
	}
	// Whole, because decoders read in small pieces, and each could be a request to a remote storage.
	content, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, media.Properties{}, err
	}
	if len(content) > MaxBytes {
		return nil, media.Properties{}, errTooLarge
	}
	p, err := media.Probe(bytes.NewReader(content))
	if err != nil {
		return nil, p, err
	}
	weight := min(int64(p.Width)*int64(p.Height), MaxPixels)
	if err := j.pixels.Acquire(ctx, weight); err != nil {
		return nil, p, err
	}
	defer j.pixels.Release(weight)
	decoded, p, err := media.DecodeImage(bytes.NewReader(content), MaxPixels)
	if err != nil {
		return nil, p, err
	}
	return newPicture(decoded, p.Orientation), p, nil
}

var errTooLarge = errors.New("the file is too large to be looked at")

// unusable tells a fault of the file from one of the way to it.
func unusable(err error) bool {
	for _, fault := range []error{errTooLarge, media.ErrFormat, media.ErrTruncated, media.ErrTooManyPixels, media.ErrUnsupported} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}

// reason says what is wrong with a file, without quoting anything of it.
func reason(err error) string {
	switch {
	case errors.Is(err, media.ErrTruncated):
		return "the file is not whole"
	case errors.Is(err, media.ErrTooManyPixels):
		return fmt.Sprintf("it has more than %d million pixels", MaxPixels>>20)
	case errors.Is(err, media.ErrUnsupported):
		return "there is no decoder for its type"
	case errors.Is(err, errTooLarge):
		return errTooLarge.Error()
	}
	return "it is no picture"
}

func described(p media.Properties) string {
	width, height := p.DisplaySize()
	return fmt.Sprintf("%s %d×%d", p.Type.ContentType(), width, height)
}

// report is a verdict in the making.
type report struct {
	gate   *kinora.Gate
	checks []kinora.Check
	grades []grade
}

// grade is how well a check was passed, 0..1, and how much it counts.
type grade struct{ value, weight float64 }

func (r *report) add(c kinora.Check) { r.checks = append(r.checks, c) }

func (r *report) grade(value, weight float64) {
	r.grades = append(r.grades, grade{min(max(value, 0), 1), weight})
}

// verdict sums up: everything must pass, and the score is the weighted mean of the grades, 1 where there are none. What has
// not passed has a score too, for operators who look for the right limit.
func (r *report) verdict() kinora.Verdict {
	v := kinora.Verdict{Passed: true, Checks: append([]kinora.Check{}, r.checks...)}
	for _, c := range r.checks {
		v.Passed = v.Passed && c.Passed
		if c.Name == CheckDecodes && !c.Passed {
			return v
		}
	}
	sum, weights := 0.0, 0.0
	for _, g := range r.grades {
		sum += g.value * g.weight
		weights += g.weight
	}
	v.Score = 1
	if weights > 0 {
		v.Score = round(sum / weights)
	}
	return v
}

func (r *report) size(width, height int) {
	for _, side := range []struct {
		name        string
		pixels, min int
	}{{CheckMinWidth, width, r.gate.MinWidth}, {CheckMinHeight, height, r.gate.MinHeight}} {
		if side.min > 0 {
			r.add(kinora.Check{Name: side.name, Passed: side.pixels >= side.min, Value: float64(side.pixels), Limit: float64(side.min)})
			r.grade(float64(side.pixels)/float64(2*side.min), 0.5)
		}
	}
}

// aspect compares shapes. Twice as wide is as far off as half as wide.
func (r *report) aspect(width, height int, source *Source) {
	c := kinora.Check{Name: CheckAspect, Limit: r.gate.AspectTolerance}
	wanted := r.gate.Aspect
	switch {
	case wanted > 0 && c.Limit == 0:
		c.Limit = aspectTolerance
	case wanted == 0 && (source == nil || source.Width <= 0 || source.Height <= 0):
		c.Passed, c.Detail = true, skipped+"there is no source"
		r.add(c)
		return
	case wanted == 0:
		wanted = float64(source.Width) / float64(source.Height)
	}
	got := float64(width) / float64(height)
	off := max(got/wanted, wanted/got) - 1
	c.Value, c.Passed = round(off), off <= c.Limit
	c.Detail = fmt.Sprintf("%d×%d, wanted %.3f:1", width, height, wanted)
	r.add(c)
	r.grade(1-off/c.Limit, 1)
}

// compare holds a picture against its source.
func (r *report) compare(seen, was *picture, why string) {
	if r.gate.Changed > 0 {
		c := kinora.Check{Name: CheckChanged, Limit: float64(r.gate.Changed), Passed: true, Detail: why}
		if was != nil {
			bits := seen.differs(was)
			c.Value, c.Passed = float64(bits), bits >= r.gate.Changed
			r.grade(c.Value/(2*c.Limit), 1)
		}
		r.add(c)
	}
	if r.gate.Structure > 0 {
		c := kinora.Check{Name: CheckStructure, Limit: r.gate.Structure, Passed: true, Detail: why}
		if was != nil {
			kept, ok := was.foundIn(seen)
			switch {
			case !ok:
				c.Detail = skipped + "the source has hardly any edges"
			default:
				c.Value, c.Passed = round(kept), kept >= r.gate.Structure
				r.grade(kept, 4)
			}
		}
		r.add(c)
	}
}

// round cuts a measurement to what it is worth.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }
