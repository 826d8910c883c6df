package kling

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// maxBody is large enough for images in base64.
const maxBody = 80 << 20

// submit is a POST to a route.
func (s *Simulator) submit(w http.ResponseWriter, r *http.Request, a *account, to *route) error {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return problem(1200, "the request body cannot be read")
	}
	s.count(func(c *counts) { c.submits++ })
	o, bad := understand(raw, to, r.PathValue("model"))
	if bad != nil {
		return bad
	}
	wants, bad := readOrders(r.Header, o.prompt)
	if bad != nil {
		return bad
	}
	if wants.drop == "before" {
		simulator.Abort()
	}
	if s.refuses(o, wants) {
		f := problem(wants.fail, "")
		f.status = wants.status
		return f
	}
	t, bad := s.accept(&task{order: *o, route: to, account: a, host: s.host(r), orders: wants})
	if bad != nil {
		return bad
	}
	if wants.callback == "early" && o.callback != "" {
		s.callbacks.Try(r.Context(), s.message(t, s.body(t, t.created), nil))
	}
	if simulator.Hold(r.Context(), s.clock, wants.late) != nil || wants.drop == "after" {
		simulator.Abort()
	}
	answer(w, t.receipt())
	return nil
}

// understand reads a submit's body for a route; model is that of the path, empty in the
// older family.
func understand(raw []byte, to *route, model string) (*order, *failure) {
	f, bad := readFields(raw)
	if bad != nil {
		return nil, bad
	}
	o := &order{model: model}
	if to.family == legacy {
		// A field "model" is taken and selects nothing.
		if o.model = f.text("model_name", 64); o.model == "" {
			o.model = to.models[0]
		}
	}
	if !slices.Contains(to.models, o.model) {
		return nil, problem(1203, "the requested resource does not exist, such as the model")
	}
	to.read(f, o)
	o.images = slices.DeleteFunc(o.images, func(url string) bool { return url == "" })
	return o, *f.bad
}

// refuses says whether a submit gets the code that it orders, this time.
func (s *Simulator) refuses(o *order, wants orders) bool {
	if wants.fail == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := o.external + " " + o.prompt
	s.refused[key]++
	return wants.times == 0 || s.refused[key] <= wants.times
}

// accept makes the task, unless the account cannot have it.
func (s *Simulator) accept(t *task) (*task, *failure) {
	now := s.clock.Now().Truncate(time.Millisecond) // as answers show it
	s.fill(t, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := t.account
	switch {
	case t.external != "" && s.byReference(a, t.external) != nil:
		return nil, problem(1201, "external_task_id already exists: it must be unique in the account")
	case a.Units > 0 && a.units+t.cost > a.Units:
		return nil, problem(1102, "")
	case a.Concurrent > 0 && s.held(t, now)+t.slots() > a.Concurrent:
		return nil, problem(1303, "")
	}
	a.units += t.cost
	s.tasks[t.id] = t
	if t.external != "" {
		s.references[reference{a, t.external}] = t
	}
	s.order = append(s.order, t)
	s.plan(t)
	return t, nil
}

// reference is what a task is found by, beside its id: unique in an account.
type reference struct {
	account  *account
	external string
}

func (s *Simulator) byReference(a *account, external string) *task {
	return s.references[reference{a, external}]
}

// held are the slots that the account's unfinished tasks of this model and kind hold.
func (s *Simulator) held(t *task, now time.Time) (n int) {
	for _, other := range s.order {
		if other.account == t.account && other.model == t.model && other.route.images == t.route.images && !other.over(now) {
			n += other.slots()
		}
	}
	return n
}

// fill gives a task its id, times and cost.
func (s *Simulator) fill(t *task, now time.Time) {
	t.id, t.created, t.seed = newID(t.route.family), now, random(1<<31)
	total, cost := s.cfg.VideoTime, t.seconds
	if t.route.images {
		total, cost = s.cfg.ImageTime, t.n
	}
	if t.orders.time >= 0 {
		total = t.orders.time
	}
	t.cost = cost
	t.started = now.Add(min(total/5, 2*time.Second))
	t.ended = now.Add(total)
}

// receipt is the answer to a submit.
func (t *task) receipt() any {
	if t.route.family == modern {
		return struct {
			ID         string `json:"id"`
			Status     string `json:"status"`
			CreateTime int64  `json:"create_time"`
			UpdateTime int64  `json:"update_time"`
			ExternalID string `json:"external_id,omitempty"`
		}{t.id, submitted, t.created.UnixMilli(), t.created.UnixMilli(), t.external}
	}
	var out struct {
		TaskID string `json:"task_id"`
		Status string `json:"task_status"`
		Info   struct {
			ExternalTaskID string `json:"external_task_id,omitempty"`
		} `json:"task_info"`
		CreatedAt int64 `json:"created_at"`
		UpdatedAt int64 `json:"updated_at"`
	}
	out.TaskID, out.Status, out.Info.ExternalTaskID = t.id, submitted, t.external
	out.CreatedAt, out.UpdatedAt = t.created.UnixMilli(), t.created.UnixMilli()
	return out
}

// host is the start of output URLs for a request.
func (s *Simulator) host(r *http.Request) string {
	switch {
	case s.cfg.PublicURL != "":
		return s.cfg.PublicURL
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// newID is eighteen digits, as Kling's ids are.
func newID(f family) string {
	first := 80
	if f == modern {
		first = 91
	}
	return fmt.Sprintf("%d%016d", first, random(1e16))
}

func newSecret() (b [16]byte) {
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return b
}

func random(most int64) int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(most))
	if err != nil {
		return 0 // crypto/rand never fails
	}
	return n.Int64()
}
