package kling

import (
	"strconv"
	"time"
)

// The states. The families differ in the word for success.
const (
	submitted  = "submitted"
	processing = "processing"
	succeed    = "succeed"
	success    = "succeeded"
	failed     = "failed"
)

// task is one accepted submit. The lock of what changes is the simulator's; its state
// follows from its times.
type task struct {
	order
	id      string
	route   *route
	account *account
	host    string // start of output URLs
	orders  orders
	seed    int64
	created time.Time
	started time.Time
	ended   time.Time
	cost    int

	looks, lookups, downloads, callbacks int
}

// state is the task's word at a moment.
func (t *task) state(now time.Time) string {
	switch {
	case now.Before(t.started):
		return submitted
	case now.Before(t.ended) && t.orders.word != "":
		return t.orders.word
	case now.Before(t.ended):
		return processing
	case t.orders.end != "":
		return failed
	case t.route.family == legacy:
		return succeed
	}
	return success
}

func (t *task) over(now time.Time) bool { return !now.Before(t.ended) }

// vanished says whether the task's record is gone, as ordered.
func (t *task) vanished(now time.Time) bool { return t.orders.gone && t.over(now) }

// changed is when the task came into the state that it has at a moment.
func (t *task) changed(now time.Time) time.Time {
	switch {
	case t.over(now):
		return t.ended
	case now.Before(t.started):
		return t.created
	}
	return t.started
}

// reason is what a failed task says.
func (t *task) reason() string {
	switch t.orders.end {
	case "risk":
		return "Failure to pass the risk control system"
	case "fault":
		return "The task could not be completed, please retry"
	}
	return ""
}

// slots is how much of the account's concurrency the task holds.
func (t *task) slots() int { return max(t.n, 1) }

// price is the task's cost as answers have it: a string.
func (t *task) price() string { return strconv.Itoa(t.cost) }

// shownLegacy is a task of the older family: in data, and flat in a callback.
type shownLegacy struct {
	TaskID    string `json:"task_id"`
	Status    string `json:"task_status"`
	StatusMsg string `json:"task_status_msg"`
	Info      struct {
		ExternalTaskID string `json:"external_task_id,omitempty"`
	} `json:"task_info"`
	WatermarkInfo struct {
		Enabled bool `json:"enabled"`
	} `json:"watermark_info"`
	UnitDeduction string        `json:"final_unit_deduction,omitempty"`
	CreatedAt     int64         `json:"created_at"`
	UpdatedAt     int64         `json:"updated_at"`
	Result        *legacyResult `json:"task_result,omitempty"`
}

type legacyResult struct {
	Images []legacyFile `json:"images,omitempty"`
	Videos []legacyFile `json:"videos,omitempty"`
}

type legacyFile struct {
	Index        *int   `json:"index,omitempty"` // of an image
	ID           string `json:"id,omitempty"`    // of a video
	URL          string `json:"url"`
	WatermarkURL string `json:"watermark_url"`
	Duration     string `json:"duration,omitempty"` // of a video
}

func (s *Simulator) showLegacy(t *task, now time.Time) shownLegacy {
	out := shownLegacy{TaskID: t.id, Status: t.state(now), CreatedAt: t.created.UnixMilli(), UpdatedAt: t.changed(now).UnixMilli()}
	out.Info.ExternalTaskID, out.WatermarkInfo.Enabled = t.external, t.marked
	switch out.Status {
	case failed:
		out.StatusMsg = t.reason()
	case succeed:
		out.UnitDeduction, out.Result = t.price(), &legacyResult{}
		for i := range t.slots() {
			file := legacyFile{URL: s.fileURL(t, i, false), WatermarkURL: s.fileURL(t, i, true)}
			if t.route.images {
				file.Index = &i
				out.Result.Images = append(out.Result.Images, file)
				continue
			}
			file.ID, file.Duration = t.id+"-v", t.length()
			out.Result.Videos = append(out.Result.Videos, file)
		}
	}
	return out
}

// shownModern is a task of the newer family: in a list, and in a callback.
type shownModern struct {
	ID         string       `json:"id"`
	Status     string       `json:"status"`
	Message    string       `json:"message"`
	CreateTime int64        `json:"create_time"`
	UpdateTime int64        `json:"update_time"`
	ExternalID string       `json:"external_id,omitempty"`
	Outputs    []modernFile `json:"outputs"`
	Billing    []bill       `json:"billing"`
}

type modernFile struct {
	Type         string `json:"type"`
	ID           string `json:"id"`
	URL          string `json:"url"`
	WatermarkURL string `json:"watermark_url"`
	Duration     string `json:"duration"`
}

type bill struct {
	ChargeType  string `json:"charge_type"`
	PackageType string `json:"package_type"`
	Amount      string `json:"amount"`
}

func (s *Simulator) showModern(t *task, now time.Time) shownModern {
	out := shownModern{
		ID: t.id, Status: t.state(now), CreateTime: t.created.UnixMilli(), UpdateTime: t.changed(now).UnixMilli(), ExternalID: t.external,
		Outputs: []modernFile{}, Billing: []bill{},
	}
	switch out.Status {
	case failed:
		out.Message = t.reason()
	case success:
		out.Outputs = append(out.Outputs, modernFile{
			Type: "video", ID: t.id + "-v", URL: s.fileURL(t, 0, false), WatermarkURL: s.fileURL(t, 0, true), Duration: t.length(),
		})
		out.Billing = append(out.Billing, bill{"unit", "video", t.price()})
	}
	return out
}

// show is the task in its family's shape.
func (s *Simulator) show(t *task, now time.Time) any {
	if t.route.family == legacy {
		return s.showLegacy(t, now)
	}
	return s.showModern(t, now)
}

// length is a video's duration in seconds, as the answers have it: a string.
func (t *task) length() string { return strconv.FormatFloat(float64(t.seconds), 'f', 1, 64) }
