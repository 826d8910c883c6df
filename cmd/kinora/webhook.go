package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/config"
)

type webhookCommand struct {
	Verify webhookVerifyCommand `cmd:"" help:"Check a delivery: who signed it, when, and what it tells."`
	Test   webhookTestCommand   `cmd:"" help:"Send a test event and show the receiver's answer. For operators."`
}

type webhookVerifyCommand struct {
	Body string `arg:"" optional:"" type:"path" help:"File with the body, byte for byte as it arrived; - or nothing = standard input."`

	Header  []string `short:"H" sep:"none" help:"A header of the delivery, as 'name: value'. May be repeated." placeholder:"NAME: VALUE"`
	Headers string   `type:"path" help:"File with the delivery's headers, one a line; a request line in front, and what follows an empty line, are passed over." placeholder:"FILE"`

	Secret      []string `sep:"none" help:"Webhook secret; any of several may have signed. Prefer the variable, which takes several with a space between: other users of a machine can read arguments." placeholder:"whsec_…" env:"KINORA_WEBHOOK_SECRET"`
	SecretStdin bool     `help:"Read secrets from standard input, one a line. The body then comes from a file."`

	IgnoreAge bool `help:"Accept a delivery of any age, as recordings are."`
}

// Bounds of what is read, in bytes. Senders stay far below them.
const (
	maxHeaderInput = 64 << 10
	anyAge         = time.Duration(math.MaxInt64)
)

func (w *webhookVerifyCommand) Run(c *console) error {
	secrets, err := w.secrets(c)
	if err != nil {
		return err
	}
	header, err := w.header()
	if err != nil {
		return err
	}
	body, err := w.body(c)
	if err != nil {
		return err
	}
	check := deliveryCheck{secrets: secrets, header: header, body: body, now: c.now()}
	tolerance := webhook.DefaultTolerance
	if w.IgnoreAge {
		tolerance = anyAge
	}
	// Whoever checks by hand may hold one header only: the hex signature counts alone too, and what it leaves open is told.
	v, err := webhook.NewVerifier(secrets, webhook.RequireTimestamp(false), webhook.WithTolerance(tolerance), webhook.WithClock(check.clock))
	if err != nil {
		return usage(withoutWebhook(err), "a secret is what kinora org rotate-secret showed, whsec_ included")
	}
	event, err := v.Verify(header, body)
	if err != nil {
		return check.explain(err)
	}
	shape := check.shape(event)
	return c.result(shape, func() { c.showVerified(shape, check, w.IgnoreAge) })
}

func (w *webhookVerifyCommand) secrets(c *console) ([]string, error) {
	given := strings.Join(w.Secret, " ")
	if w.SecretStdin {
		if w.Body == "" || w.Body == "-" {
			return nil, usage("standard input cannot hold both the secrets and the body", "name the file that holds the body")
		}
		text, err := readInput(c.in, maxSecretInput)
		if err != nil {
			return nil, err
		}
		given += " " + text
	}
	secrets := strings.Fields(given) // a secret holds no white space
	if len(secrets) == 0 {
		return nil, usage("no webhook secret", "set KINORA_WEBHOOK_SECRET, or give --secret or --secret-stdin")
	}
	return secrets, nil
}

func (w *webhookVerifyCommand) header() (http.Header, error) {
	lines := w.Header
	if w.Headers != "" {
		text, err := readFile(w.Headers, maxHeaderInput)
		if err != nil {
			return nil, err
		}
		lines = append(headerLines(string(text)), lines...)
	}
	if len(lines) == 0 {
		return nil, usage("no headers", "give those of the delivery, by --header or --headers")
	}
	header := http.Header{}
	for i, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if !found || name == "" || strings.ContainsAny(name, " \t") {
			// The line itself is not repeated: it may be another service's Authorization.
			return nil, usage(fmt.Sprintf("header %d is not in the form name: value", i+1), "")
		}
		header.Add(name, strings.Trim(value, " \t"))
	}
	return header, nil
}

// headerLines takes the lines of a request as it was recorded, up to its body.
func headerLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" && len(lines) > 0 {
			break
		}
		if line == "" || len(lines) == 0 && strings.Contains(line, " HTTP/") {
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

func (w *webhookVerifyCommand) body(c *console) ([]byte, error) {
	if w.Body != "" && w.Body != "-" {
		return readFile(w.Body, webhook.DefaultMaxBody)
	}
	body, err := io.ReadAll(io.LimitReader(c.in, webhook.DefaultMaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(body) > webhook.DefaultMaxBody {
		return nil, usage(fmt.Sprintf("standard input holds more than %d bytes", webhook.DefaultMaxBody), "")
	}
	return body, nil
}

// readFile reads a file of at most limit bytes that the command line names.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage(err.Error(), "")
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, usage(err.Error(), "")
	}
	if int64(len(content)) > limit {
		return nil, usage(fmt.Sprintf("%s holds more than %d bytes", path, limit), "")
	}
	return content, nil
}

// now is the present on the console's clock.
func (c *console) now() time.Time {
	if c.clock != nil {
		return c.clock.Now()
	}
	return time.Now()
}

// deliveryCheck is a delivery and what it is held against.
type deliveryCheck struct {
	secrets []string
	header  http.Header
	body    []byte
	now     time.Time
}

func (d deliveryCheck) clock() time.Time { return d.now }

// signedBy returns which of the secrets made the signature of one header, counted from 1, whatever the delivery's age;
// 0 = none of them.
func (d deliveryCheck) signedBy(name string) int {
	alone := http.Header{webhook.HeaderHexSignature: d.header.Values(name)}
	standard := name == webhook.HeaderSignature
	if standard {
		alone = http.Header{}
		for _, part := range []string{webhook.HeaderID, webhook.HeaderTimestamp, webhook.HeaderSignature} {
			alone[part] = d.header.Values(part)
		}
	}
	for i, secret := range d.secrets {
		v, err := webhook.NewVerifier([]string{secret}, webhook.RequireTimestamp(standard), webhook.WithTolerance(anyAge), webhook.WithClock(d.clock))
		if err != nil {
			continue // an imported secret signs no webhook-signature
		}
		if _, err := v.Verify(alone, d.body); err == nil || errors.Is(err, webhook.ErrBody) {
			return i + 1
		}
	}
	return 0
}

// Reasons for which a delivery does not verify, for programs.
const (
	codeNoSignature  = "signature_missing"
	codeBadForm      = "signature_malformed"
	codeMismatch     = "signature_mismatch"
	codeOutOfTime    = "timestamp_refused"
	codeBodyNoEvent  = "not_an_event"
	hintWhatIsSigned = "is it this organisation's secret, and the body byte for byte as it arrived? JSON that was parsed and written again does not verify"
)

// explain turns a refusal into what to do about it.
func (d deliveryCheck) explain(err error) error {
	f := &failure{exit: exitFailure, message: withoutWebhook(err), cause: err}
	switch {
	case errors.Is(err, webhook.ErrMissing):
		f.code, f.message = codeNoSignature, "the delivery has no signature that the secret could check"
		f.hint = "needed are webhook-id, webhook-timestamp and webhook-signature, or x-katalo-signature"
		if len(d.header.Values(webhook.HeaderSignature)) > 0 {
			f.hint = "a secret that is not whsec_ and base64 checks x-katalo-signature only"
		}
	case errors.Is(err, webhook.ErrMalformed):
		f.code = codeBadForm
	case errors.Is(err, webhook.ErrTimestamp) && d.signedBy(webhook.HeaderSignature) > 0:
		f.code, f.message = codeOutOfTime, "the signature is genuine, but the delivery was sent "+ago(d.now.Sub(d.sentAt()))
		f.hint = fmt.Sprintf("at most %s is accepted, against replays; --ignore-age checks a recording", config.Duration(webhook.DefaultTolerance))
	case errors.Is(err, webhook.ErrTimestamp), errors.Is(err, webhook.ErrMismatch):
		f.code, f.message, f.hint = codeMismatch, "no signature matches", d.suspect()
	case errors.Is(err, webhook.ErrBody):
		f.code, f.message = codeBodyNoEvent, "the signature is genuine, but the body is not an event"
	}
	return f
}

// suspect looks for the usual reasons of a mismatch.
func (d deliveryCheck) suspect() string {
	if len(d.header.Values(webhook.HeaderSignature)) > 0 && d.signedBy(webhook.HeaderHexSignature) > 0 {
		return "x-katalo-signature does match: so secret and body are right, and one of the three webhook- headers is not as it was sent"
	}
	trimmed := d
	trimmed.body = []byte(strings.TrimRight(string(d.body), "\r\n"))
	if len(trimmed.body) < len(d.body) && (trimmed.signedBy(webhook.HeaderSignature) > 0 || trimmed.signedBy(webhook.HeaderHexSignature) > 0) {
		return "it does match without the line end behind the body, which was not sent: an editor or echo put it there"
	}
	return hintWhatIsSigned
}

// sentAt is the time of a delivery whose webhook-timestamp is known to be in form.
func (d deliveryCheck) sentAt() time.Time {
	var seconds int64
	if _, err := fmt.Sscan(d.header.Get(webhook.HeaderTimestamp), &seconds); err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// verifiedShape is a delivery that verified.
type verifiedShape struct {
	VerifiedBy string           `json:"verified_by"` // the header that decided
	EventID    *string          `json:"event_id"`    // null = not signed
	EventType  string           `json:"event_type"`
	JobID      string           `json:"job_id"`
	SentAt     instant          `json:"sent_at"`     // null = not signed
	Age        *float64         `json:"age_seconds"` // below 0 = ahead of this machine's clock; null = not signed
	Attempt    int              `json:"attempt"`     // 0 = not told; not signed
	Signatures []signatureShape `json:"signatures"`
}

type signatureShape struct {
	Header  string `json:"header"`
	Matches bool   `json:"matches"`
	Secret  int    `json:"secret"` // which of the secrets made it, counted from 1; 0 = none of them
}

func (d deliveryCheck) shape(e webhook.Event) verifiedShape {
	s := verifiedShape{EventType: e.EventType, JobID: e.JobID, SentAt: instant(e.Timestamp), Attempt: e.Attempt}
	for _, name := range []string{webhook.HeaderSignature, webhook.HeaderHexSignature, webhook.HeaderHexSignaturePrevious} {
		if len(d.header.Values(name)) == 0 {
			continue
		}
		by := d.signedBy(name)
		s.Signatures = append(s.Signatures, signatureShape{Header: name, Matches: by > 0, Secret: by})
		if by > 0 && s.VerifiedBy == "" {
			s.VerifiedBy = name
		}
	}
	if e.ID != "" {
		age := d.now.Sub(e.Timestamp).Seconds()
		s.EventID, s.Age = &e.ID, &age
	}
	return s
}

func (c *console) showVerified(s verifiedShape, d deliveryCheck, ignoreAge bool) {
	c.say("%s verified by %s", c.outStyle.good("✓"), c.outStyle.bold(s.VerifiedBy))
	if s.EventID != nil {
		c.say("  event    %s", printable(*s.EventID))
	}
	c.say("  type     %s", printable(s.EventType))
	c.say("  job      %s", printable(orDash(s.JobID)))
	if s.EventID == nil {
		c.say("  sent     not told: this header signs no time, so a replay looks the same")
	} else {
		sent := time.Time(s.SentAt)
		note := ""
		if ignoreAge {
			note = "; its age was not judged"
		}
		c.say("  sent     %s, %s%s", stamp(sent), ago(d.now.Sub(sent)), note)
	}
	if s.Attempt > 0 {
		c.say("  attempt  %d", s.Attempt)
	}
	c.say("")
	for _, signature := range s.Signatures {
		switch {
		case !signature.Matches:
			c.say("  %s %s  made with none of the given secrets", c.outStyle.bad("✗"), signature.Header)
		case len(d.secrets) > 1:
			c.say("  %s %s  made with secret %d", c.outStyle.good("✓"), signature.Header, signature.Secret)
		default:
			c.say("  %s %s", c.outStyle.good("✓"), signature.Header)
		}
	}
}

// ago tells how long something is past, or ahead of this machine's clock.
func ago(age time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case age < 0:
		return elapsed(-age) + " ahead of this machine's clock"
	case age >= 2*day:
		return fmt.Sprintf("%d days ago", age/day)
	}
	return elapsed(age) + " ago"
}

func withoutWebhook(err error) string { return strings.TrimPrefix(err.Error(), "webhook: ") }
