package minimax

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
)

// text reads a JSON string or number as text: ids and codes come as either. Everything
// else is empty.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	var n json.Number
	switch {
	case json.Unmarshal(b, &s) == nil:
		*t = text(s)
	case json.Unmarshal(b, &n) == nil:
		*t = text(n.String())
	}
	return nil
}

// decode reads an answer leniently: a field of another type than documented is left
// empty. False = it is not JSON.
func decode(body []byte, into any) bool {
	var typed *json.UnmarshalTypeError
	err := json.Unmarshal(body, into)
	return err == nil || errors.As(err, &typed)
}

// baseResp is how V1 says what an answer means, under HTTP 200 most of the time.
type baseResp struct {
	Code    text `json:"status_code"`
	Message text `json:"status_msg"`
}

// code is the error code; empty = none.
func (b *baseResp) code() string {
	if b == nil || b.Code == "0" || b.Code == "" {
		return ""
	}
	if code := digits(string(b.Code)); code != "" {
		return code
	}
	return "other" // an error all the same
}

// digits lets through what can be a code and nothing that could be a secret or a sentence.
func digits(s string) string {
	if len(s) > 6 || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}

// complaint is an error as the upstream tells it, of either version.
type complaint struct {
	code string // "1008"
	kind string // V2's type, "rate_limit_error"
	// words are its own sentence. It may hold anything: it is searched, and quoted by provider.Quote alone.
	words string
	trace string // the upstream's id of the call, for its support
}

// trailing is the old numeric code at the end of a V2 message.
var trailing = regexp.MustCompile(`\((\d{3,6})\)\s*$`)

func readComplaint(a provider.Answer) complaint {
	var body struct {
		BaseResp *baseResp `json:"base_resp"`
		Error    struct {
			Type    text `json:"type"`
			Message text `json:"message"`
		} `json:"error"`
		RequestID text `json:"request_id"`
	}
	c := complaint{trace: traceID(a.Header.Get("Trace-Id"))}
	if !decode(a.Body, &body) {
		return c
	}
	if c.trace == "" {
		c.trace = traceID(string(body.RequestID))
	}
	if _, known := byType[string(body.Error.Type)]; known {
		c.kind = string(body.Error.Type)
	}
	c.words = string(body.Error.Message)
	if found := trailing.FindStringSubmatch(c.words); found != nil {
		c.code = found[1]
	}
	if code := body.BaseResp.code(); code != "" {
		c.code, c.words = code, string(body.BaseResp.Message)
	}
	return c
}

var plainID = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// traceID lets through the hexadecimal ids that the upstream makes, and nothing else: an
// answer is not to be trusted not to repeat a key.
func traceID(s string) string {
	if plainID.MatchString(s) {
		return s
	}
	return ""
}

// detail is what an operator can hand to the upstream's support.
func (c complaint) detail() string {
	if c.trace == "" {
		return ""
	}
	return "trace " + c.trace
}

// videoTask is a V2 task, in answers and callbacks.
type videoTask struct {
	ID     text `json:"id"`
	Status text `json:"status"`
	Error  struct {
		Code text `json:"code"`
	} `json:"error"`
	Content struct {
		URL text `json:"url"`
	} `json:"content"`
}

// refusal translates an answer that is an error. It says what the complaint's code means,
// else its type, else the status.
func refusal(a provider.Answer, effect provider.Effect) *provider.Error {
	c := readComplaint(a)
	e := &provider.Error{
		Class: c.class(a.Status, effect), HTTPStatus: a.Status, Code: c.code, Detail: c.detail(), RetryAfter: a.RetryAfter(time.Now()),
	}
	if c.code == "2038" {
		e.Scope = provider.ScopeAccount // who has not said who he is may use no model
	}
	if e.Code == "" {
		e.Code = c.kind
	}
	e.Message = messages[e.Class]
	if e.Class != provider.Invalid {
		return e
	}
	if strings.Contains(strings.ToLower(c.words), "callback") {
		e.CallbackRefused = true
		e.Message = "the callback URL did not answer the upstream's challenge"
	} else if field := callerField(c.words); field != "" {
		e.Message = "the upstream refused " + field
	}
	return e
}
