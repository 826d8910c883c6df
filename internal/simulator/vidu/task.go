package vidu

import (
	"time"
)

// The states.
const (
	created    = "created"
	queueing   = "queueing"
	processing = "processing"
	success    = "success"
	failed     = "failed"
)

// offPeakLife is when an off-peak task that found no time is cancelled.
const offPeakLife = 48 * time.Hour

// task is one accepted submit. The lock of what changes is the simulator's.
type task struct {
	submission
	id      string
	route   string
	account *account
	host    string // start of output URLs
	orders  orders
	cost    int
	created time.Time
	ready   time.Time     // when it may start
	takes   time.Duration // from its start to its end

	started   time.Time // zero = not yet
	ended     time.Time // zero = not yet
	errCode   string    // of one that failed
	succeeded bool

	looks, lists, downloads, callbacks int
}

func (t *task) image() bool { return t.route == "reference2image" }

// state is the task's word at a moment up to which the simulator has settled.
func (t *task) state(now time.Time) string {
	switch {
	case t.succeeded:
		return success
	case !t.ended.IsZero():
		return failed
	case !t.started.IsZero() && t.orders.word != "":
		return t.orders.word
	case !t.started.IsZero():
		return processing
	case now.Before(t.created.Add(t.ready.Sub(t.created) / 2)):
		return created
	}
	return queueing
}

// vanished says whether the task's record is gone, as ordered.
func (t *task) vanished() bool { return t.orders.gone && !t.ended.IsZero() }

// spent are the credits that the task costs; what failed is refunded.
func (t *task) spent() int {
	if !t.ended.IsZero() && !t.succeeded {
		return 0
	}
	return t.cost
}

// Shown is a task in the answer to a query, and in a callback.
type Shown struct {
	ID        string     `json:"id,omitempty"`
	State     string     `json:"state"`
	ErrCode   string     `json:"err_code"`
	Credits   int        `json:"credits"`
	Payload   string     `json:"payload"`
	BGM       bool       `json:"bgm"`
	OffPeak   bool       `json:"off_peak"`
	Creations []Creation `json:"creations"`
}

// Creation is one file of a task that succeeded.
type Creation struct {
	ID             string `json:"id"`
	URL            string `json:"url"`
	CoverURL       string `json:"cover_url"`
	WatermarkedURL string `json:"watermarked_url,omitempty"`
}

// show is the task as a query answers it.
func (s *Simulator) show(t *task, state string) Shown {
	out := Shown{
		ID: t.id, State: state, ErrCode: t.errCode, Credits: t.spent(), Payload: t.Payload, BGM: t.BGM, OffPeak: t.OffPeak,
		Creations: []Creation{},
	}
	if s.cfg.Older {
		out.ID = ""
	}
	if state == success {
		out.Creations = s.creations(t)
	}
	return out
}

func (s *Simulator) creations(t *task) []Creation {
	c := Creation{ID: "c" + t.id, URL: s.fileURL(t, "out"), CoverURL: s.fileURL(t, "cover")}
	if t.Watermark {
		c.WatermarkedURL = s.fileURL(t, "marked")
	}
	return []Creation{c}
}

// listed is a task in a list. What the documents do not name are pointers, which
// Config.BareLists leaves nil.
type listed struct {
	ID          string     `json:"id"`
	KeyID       string     `json:"key_id"`
	Template    string     `json:"template,omitempty"`
	Model       string     `json:"model"`
	Prompt      string     `json:"prompt"`
	Images      []string   `json:"images"`
	Duration    int        `json:"duration"`
	Resolution  string     `json:"resolution"`
	AspectRatio string     `json:"aspect_ratio"`
	Creations   []Creation `json:"creations"`
	CreatedAt   string     `json:"created_at"`
	State       *string    `json:"state,omitempty"`
	ErrCode     *string    `json:"err_code,omitempty"`
	Payload     *string    `json:"payload,omitempty"`
}

func (s *Simulator) item(t *task, now time.Time) listed {
	state := t.state(now)
	out := listed{
		ID: t.id, KeyID: t.account.keyID, Template: t.Template, Model: t.Model, Prompt: t.Prompt, Images: t.images(),
		Duration: t.Duration, Resolution: t.Resolution, AspectRatio: t.AspectRatio, CreatedAt: stamp(t.created), Creations: []Creation{},
	}
	if state == success {
		out.Creations = s.creations(t)
	}
	if !s.cfg.BareLists {
		out.State, out.ErrCode, out.Payload = &state, &t.errCode, &t.Payload
	}
	return out
}

// accepted is the answer to a submit.
type accepted struct {
	TaskID            string   `json:"task_id"`
	State             string   `json:"state"`
	Template          string   `json:"template,omitempty"`
	Model             string   `json:"model,omitempty"`
	Style             string   `json:"style,omitempty"`
	Prompt            string   `json:"prompt"`
	Images            []string `json:"images"`
	Duration          int      `json:"duration"`
	Seed              int64    `json:"seed"`
	AspectRatio       string   `json:"aspect_ratio"`
	Resolution        string   `json:"resolution"`
	MovementAmplitude string   `json:"movement_amplitude,omitempty"`
	BGM               bool     `json:"bgm,omitempty"`
	Payload           string   `json:"payload"`
	OffPeak           bool     `json:"off_peak"`
	Watermark         bool     `json:"watermark,omitempty"`
	Credits           int      `json:"credits"`
	CreatedAt         string   `json:"created_at"`
}

func (t *task) answer() accepted {
	return accepted{
		TaskID: t.id, State: created, Template: t.Template, Model: t.Model, Style: t.Style, Prompt: t.Prompt, Images: t.images(),
		Duration: t.Duration, Seed: t.Seed, AspectRatio: t.AspectRatio, Resolution: t.Resolution, MovementAmplitude: t.MovementAmplitude,
		BGM: t.BGM, Payload: t.Payload, OffPeak: t.OffPeak, Watermark: t.Watermark, Credits: t.cost, CreatedAt: stamp(t.created),
	}
}

// stamp writes a time as Vidu does: RFC 3339 with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
