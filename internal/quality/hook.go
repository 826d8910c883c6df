package quality

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client/webhook"
)

const (
	defaultTimeout = 10 * time.Second
	maxAnswer      = 64 << 10 // bytes
	maxReason      = 500      // characters that are kept of a checker's reason
	// checkPrefix in front of an output's id is the webhook-id: the same whenever that output is asked about.
	checkPrefix = "chk_"
)

// question is what a checker is asked.
type question struct {
	g       *kinora.Generation
	o       *kinora.Output
	source  *Source
	verdict kinora.Verdict
}

// Question is the body of the request to an operator's checker, as docs/workflows.md has it.
type Question struct {
	Type         string                  `json:"type"` // "quality.check"
	GenerationID string                  `json:"generation_id"`
	OutputID     string                  `json:"output_id"`
	Organisation string                  `json:"organisation_id"`
	Request      *kinora.WorkflowRequest `json:"request"` // what the caller chose; null for other APIs
	Reference    *string                 `json:"reference"`
	Source       *File                   `json:"source"` // null without one
	Candidate    File                    `json:"candidate"`
	Verdict      kinora.Verdict          `json:"verdict"` // of the checks before
}

// File is a picture that a checker may read until its URL expires.
type File struct {
	URL         string    `json:"url"`
	ExpiresAt   time.Time `json:"expires_at"`
	ContentType string    `json:"content_type,omitempty"`
	Width       int       `json:"width"`
	Height      int       `json:"height"`
}

// Answer is what a checker says.
type Answer struct {
	Pass   *bool    `json:"pass"`            // required
	Score  *float64 `json:"score,omitempty"` // 0..1
	Reason string   `json:"reason,omitempty"`
}

// errNoSecret: an operator can set one, and the output is judged again.
var errNoSecret = errors.New("the organisation has no signing secret")

// ask puts a question to an operator's checker. The address is configuration, like an upstream's: it may be private, and a
// redirect is not followed. Every outcome but a readable answer under 2xx is an error, so that an output is published only
// after a "pass" that was said. Errors hold neither the address nor anything of the answer.
func (j *Judge) ask(ctx context.Context, hook kinora.GateHook, q question) (Answer, error) {
	timeout := hook.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := json.Marshal(j.body(q))
	if err != nil {
		return Answer{}, fmt.Errorf("write the question: %w", err)
	}
	secrets, err := j.cfg.Secrets(ctx, q.g.OrganisationID)
	if err != nil {
		return Answer{}, fmt.Errorf("signing secrets: %w", err)
	}
	header, err := signed(secrets, checkPrefix+q.o.ID, j.cfg.Now(), body)
	if err != nil {
		return Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(body))
	if err != nil {
		return Answer{}, errors.New("the checker's address cannot be used")
	}
	req.Header = header
	req.Header.Set("User-Agent", j.cfg.UserAgent)
	res, err := j.cfg.Client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return Answer{}, errors.New("the checker did not answer in time")
		}
		return Answer{}, errors.New("the checker cannot be reached")
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, errors.New("the checker's answer broke off")
	case res.StatusCode < 200 || res.StatusCode > 299:
		return Answer{}, fmt.Errorf("the checker answered with status %d", res.StatusCode)
	}
	return understood(text)
}

// body is the question as JSON has it.
func (j *Judge) body(q question) Question {
	file := func(key string, contentType string, width, height int) File {
		url, expires := j.cfg.FileURL(key)
		return File{URL: url, ExpiresAt: expires, ContentType: contentType, Width: width, Height: height}
	}
	out := Question{
		Type: "quality.check", GenerationID: q.g.ID, OutputID: q.o.ID, Organisation: q.g.OrganisationID, Request: q.g.Request, Reference: q.g.Reference,
		Candidate: file(q.o.BlobKey, q.o.ContentType, q.o.Width, q.o.Height), Verdict: q.verdict,
	}
	if q.source != nil {
		f := file(q.source.BlobKey, "", q.source.Width, q.source.Height)
		out.Source = &f
	}
	return out
}

// signed makes the headers of a question: those of a delivery (generations API contract 10.3), so that a receiver's
// verifier takes both.
func signed(secrets []kinora.WebhookSecret, id string, at time.Time, body []byte) (http.Header, error) {
	if len(secrets) == 0 {
		return nil, errNoSecret
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	hex, err := webhook.SignHex(secrets[0].Text, body)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	h.Set(webhook.HeaderHexSignature, hex)
	var standard []string
	for _, secret := range secrets {
		text, err := webhook.SignStandard(secret.Text, id, at, body)
		if errors.Is(err, webhook.ErrNotStandard) {
			continue // imported from elsewhere: the other header is all it can do
		}
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		standard = append(standard, text)
	}
	if len(standard) > 0 {
		h.Set(webhook.HeaderID, id)
		h.Set(webhook.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
		h.Set(webhook.HeaderSignature, strings.Join(standard, " "))
	}
	return h, nil
}

var errAnswer = errors.New("the checker's answer cannot be read")

func understood(text []byte) (a Answer, err error) {
	if len(text) > maxAnswer || json.Unmarshal(text, &a) != nil || a.Pass == nil {
		return Answer{}, errAnswer
	}
	if a.Score != nil && (*a.Score < 0 || *a.Score > 1) {
		return Answer{}, errAnswer
	}
	a.Reason = strings.ToValidUTF8(a.Reason, "\uFFFD")
	if utf8.RuneCountInString(a.Reason) > maxReason {
		a.Reason = string([]rune(a.Reason)[:maxReason])
	}
	return a, nil
}

// heard adds what a checker has said. Its score counts as much as the structure does.
func (r *report) heard(a Answer) {
	c := kinora.Check{Name: CheckHook, Passed: *a.Pass, Detail: a.Reason}
	if a.Score != nil {
		c.Value = round(*a.Score)
		r.grade(*a.Score, 4)
	}
	r.add(c)
}
