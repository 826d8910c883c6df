package webhook

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
)

// Doer sends a request: the guard's webhook client, which follows no redirect, keeps no
// cookies and decodes nothing.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// parcel is all that one attempt needs.
type parcel struct {
	delivery *kinora.Delivery
	url      string            // where to
	headers  map[string]string // the endpoint's own
	content  *store.EventContent
	allowed  []string // the organisation's allowlist
	secrets  []kinora.WebhookSecret
}

// body makes what is sent, anew for each attempt where file URLs are in it.
func (p *parcel) body(link FileURL) (body []byte, outputs []OutputItem, err error) {
	if p.content.Event.Body != "" {
		return []byte(p.content.Event.Body), nil, nil
	}
	notice := Payload(p.content.Event, p.content.Generation, p.content.Outputs, link)
	body, err = notice.Encode()
	return body, notice.Outputs, err
}

// courier makes single attempts. It decides nothing about what follows from them, and
// writes nothing.
type courier struct {
	policy    Policy
	client    Doer
	link      FileURL
	userAgent string
	timeout   time.Duration // over look-up, connection, TLS, headers and body together
	now       func() time.Time
}

// attempt makes one POST and returns its outcome and its log, without the time of the next.
func (c *courier) attempt(ctx context.Context, p parcel) (outcome, *kinora.DeliveryAttempt) {
	log := &kinora.DeliveryAttempt{DeliveryID: p.delivery.ID, Number: p.delivery.Attempts + 1, StartedAt: c.now()}
	began := time.Now()
	o, m := c.send(ctx, p, log)
	log.Duration = time.Since(began)
	o.err = cut(m.apply(clean(o.err)), maxErrorText)
	log.Status, log.Fault, log.Error = o.status, o.fault, o.err
	return o, log
}

func (c *courier) send(parent context.Context, p parcel, log *kinora.DeliveryAttempt) (outcome, *mask) {
	u, err := c.policy.permit(p.allowed, p.url)
	if err != nil {
		return refused(err), nil
	}
	body, outputs, err := p.body(c.link)
	m := &mask{secrets: p.secrets, outputs: outputs, headers: p.headers, to: u}
	if err != nil {
		return ours(err.Error()), m
	}
	header, err := signature{
		delivery: p.delivery.ID, event: p.content.Event.ID, eventType: p.content.Event.Type,
		attempt: log.Number, at: log.StartedAt, secrets: p.secrets, userAgent: c.userAgent,
	}.headers(body)
	if err != nil {
		return ours(err.Error()), m
	}
	m.sent = header

	ctx, cancel := context.WithTimeout(parent, c.timeout)
	defer cancel()
	var trace netguard.Trace
	req, err := http.NewRequestWithContext(netguard.WithTrace(ctx, &trace), http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return ours("the request could not be made"), m
	}
	for name, value := range p.headers {
		header.Set(name, value)
	}
	req.Header = header
	log.Sent = sentRequest(header, p.secrets, Notice{Outputs: outputs}, body)
	log.Sent.Custom = namesOf(p.headers)
	if u.Host != hostOf(p.delivery.URL) {
		log.Sent.Host = u.Host
	}
	status, answer, head, err := c.roundTrip(req)

	facts := trace.Facts()
	log.Address, log.DNS, log.Connect, log.TLS, log.FirstByte = facts.Address, facts.DNS, facts.Connect, facts.TLS, facts.FirstByte
	switch {
	case err == nil:
		o := judgeAnswer(status, answer, c.now())
		limit := keptWhenFailed
		if o.verdict == delivered {
			limit = keptWhenDelivered
		}
		log.Response, log.ResponseHead = answerText(head, m, limit), answerHead(answer, m, min(limit, maxAnswerHead))
		return o, m
	case parent.Err() != nil:
		return outcome{verdict: interrupted}, m
	}
	log.Response, log.ResponseHead = answerText(head, m, keptWhenFailed), answerHead(answer, m, maxAnswerHead)
	return judgeError(err, u, facts, status), m
}

// roundTrip returns the answer once it is whole, or as much as came with an error.
func (c *courier) roundTrip(req *http.Request) (status int, header http.Header, head []byte, err error) {
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	head, err = readAnswer(resp.Body)
	return resp.StatusCode, resp.Header, head, err
}
