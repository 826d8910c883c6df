package google

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// problem is an error in Google's form (section 2.4): in an answer's "error", there also as
// the only element of an array, and in an operation.
type problem struct {
	Code    lenient.Word    `json:"code"` // a number; Interactions have words too
	Message lenient.Word    `json:"message"`
	Status  lenient.Word    `json:"status"`
	Details json.RawMessage `json:"details"`
}

// detail is an element of a problem's details, of whatever type.
type detail struct {
	Reason     lenient.Word `json:"reason"`     // ErrorInfo
	RetryDelay lenient.Word `json:"retryDelay"` // RetryInfo
	Violations []struct {
		Field lenient.Word `json:"field"`
	} `json:"fieldViolations"` // BadRequest
}

func (p *problem) details() (out []detail) {
	var list []json.RawMessage
	if json.Unmarshal(p.Details, &list) != nil {
		return nil
	}
	for _, raw := range list {
		var d detail
		if json.Unmarshal(raw, &d) == nil {
			out = append(out, d)
		}
	}
	return out
}

// readProblem reads an error answer; its zero value where there is none.
func readProblem(body []byte) problem {
	body = bytes.TrimSpace(body)
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil && len(list) > 0 {
		body = list[0]
	}
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	var p problem
	if json.Unmarshal(body, &answer) != nil || json.Unmarshal(answer.Error, &p) != nil {
		return problem{}
	}
	return p
}

// byStatus is what the words of google.rpc mean at a submit or a poll (sections 2.3 and 2.4).
var byStatus = map[string]provider.Class{
	"CANCELLED":          provider.Unavailable,
	"INVALID_ARGUMENT":   provider.Invalid,
	"OUT_OF_RANGE":       provider.Invalid,
	"DEADLINE_EXCEEDED":  provider.Unavailable,
	"NOT_FOUND":          provider.ModelGone,
	"PERMISSION_DENIED":  provider.Permission,
	"UNAUTHENTICATED":    provider.Credential,
	"RESOURCE_EXHAUSTED": provider.Rate,
	// A project that is not set up for the call: billing, a region, an API that is off.
	"FAILED_PRECONDITION": provider.Permission,
	"UNIMPLEMENTED":       provider.ModelGone,
	"INTERNAL":            provider.Unavailable,
	"UNAVAILABLE":         provider.Unavailable,
	"ABORTED":             provider.Unavailable,
}

// byReason are reasons that say more than the status they come with: a wrong key is an
// INVALID_ARGUMENT at the Gemini API.
var byReason = map[string]provider.Class{
	"API_KEY_INVALID":         provider.Credential,
	"API_KEY_EXPIRED":         provider.Credential,
	"API_KEY_SERVICE_BLOCKED": provider.Permission,
	"SERVICE_DISABLED":        provider.Permission,
	"BILLING_DISABLED":        provider.Balance,
	"CONSUMER_SUSPENDED":      provider.Permission,
	"ACCESS_TOKEN_EXPIRED":    provider.Credential,
}

// rpcWords are the numbers of google.rpc.Code that operations carry.
var rpcWords = map[string]string{
	"1": "CANCELLED", "2": "UNKNOWN", "3": "INVALID_ARGUMENT", "4": "DEADLINE_EXCEEDED", "5": "NOT_FOUND", "7": "PERMISSION_DENIED",
	"8": "RESOURCE_EXHAUSTED", "9": "FAILED_PRECONDITION", "10": "ABORTED", "11": "OUT_OF_RANGE", "12": "UNIMPLEMENTED",
	"13": "INTERNAL", "14": "UNAVAILABLE", "16": "UNAUTHENTICATED",
}

// messages are what the classes mean here.
var messages = map[provider.Class]string{
	provider.Invalid:     "the upstream refused the request",
	provider.Moderation:  "the content was refused",
	provider.Credential:  "the upstream refused the key",
	provider.Permission:  "the account may not do this",
	provider.Balance:     "the account has no billing or budget for this",
	provider.Rate:        "the upstream has too many requests",
	provider.Unavailable: "the upstream is not available",
	provider.Generation:  "the upstream could not make it",
	provider.ModelGone:   "the upstream does not offer the model",
	provider.Gone:        "the upstream does not know the task",
}

// refusal translates an answer outside 2xx, below 500.
func refusal(s *site, a provider.Answer) *provider.Error {
	p := readProblem(a.Body)
	e := &provider.Error{HTTPStatus: a.Status, RetryAfter: a.RetryAfter(time.Now())}
	if a.Status < 400 {
		// A redirect is not followed: the key would go along.
		e.Class, e.Message = provider.Unavailable, fmt.Sprintf("the upstream answered with status %d", a.Status)
		return e
	}
	e.Class = p.class()
	if e.Class == "" {
		e.Class = provider.ClassOfStatus(a.Status)
	}
	if e.Class == "" {
		e.Class = provider.Invalid
	}
	e.Message = messages[e.Class]
	if s.vertex && s.tokenOld && a.Status == http.StatusUnauthorized {
		// A token may be withdrawn before its end. It is forgotten by now, and only the refusal
		// of a fresh one tells of the account.
		e.Class, e.Message = provider.Unavailable, "the upstream refused an access token before its end"
	}
	p.describe(s.up, e)
	return e
}

// quoted adds what an answer to a submit says in words, for operators.
func (g *Google) quoted(s *site, req provider.Request, a provider.Answer, err error) error {
	return provider.Quote(g, s.up, req, err, string(readProblem(a.Body).Message))
}

// class is what a problem's words mean; empty = they say nothing.
func (p *problem) class() provider.Class {
	for _, d := range p.details() {
		if c := byReason[string(d.Reason)]; c != "" {
			return c
		}
	}
	c := byStatus[strings.ToUpper(p.word())]
	if c == provider.Invalid && p.unsafe() {
		return provider.Moderation
	}
	return c
}

// word is the problem's word: its status, or its code where that is one.
func (p *problem) word() string {
	if p.Status != "" {
		return string(p.Status)
	}
	if word := rpcWords[string(p.Code)]; word != "" {
		return word
	}
	return string(p.Code)
}

// unsafe says that an INVALID_ARGUMENT is about the content: Vertex refuses prompts and images
// so, and tells it in the text alone.
func (p *problem) unsafe() bool {
	text := strings.ToLower(string(p.Message))
	for _, sign := range []string{"responsible ai", "usage guidelines", "safety filter", "support codes"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// What words and fields look like; sentences and URLs do not.
var (
	wordShape  = regexp.MustCompile(`^[A-Za-z][A-Za-z_]{1,63}$`)
	fieldShape = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.\[\]]{0,79}$`)
	numberWord = regexp.MustCompile(`^[0-9]{1,3}$`)
)

// describe adds the upstream's own words, for operators: no sentence, which may repeat the
// prompt, and is quoted only where that is known.
func (p *problem) describe(up provider.Upstream, e *provider.Error) {
	if word := p.word(); (wordShape.MatchString(word) || numberWord.MatchString(word)) && !secret(up, word) {
		e.Code = word
	}
	for _, d := range p.details() {
		if reason := string(d.Reason); wordShape.MatchString(reason) && !secret(up, reason) {
			e.Code = reason
		}
		if e.RetryAfter == 0 {
			if wait, err := time.ParseDuration(string(d.RetryDelay)); err == nil && wait > 0 {
				e.RetryAfter = wait
			}
		}
		for _, v := range d.Violations {
			if field := string(v.Field); fieldShape.MatchString(field) && !secret(up, field) && e.Detail == "" {
				e.Detail = "field " + field
			}
		}
	}
}

// secret says that a word could be one of the account's: an upstream may repeat what it was sent.
func secret(up provider.Upstream, word string) bool {
	for _, name := range []string{SettingAPIKey, SettingServiceAccount} {
		if v := setting(up, name); v != "" && (strings.Contains(word, v) || len(word) > 7 && strings.Contains(v, word)) {
			return true
		}
	}
	return false
}

// described adds the upstream's words to an error that provider.Do has classified.
func described(up provider.Upstream, a provider.Answer, err error) error {
	var e *provider.Error
	if errors.As(err, &e) && a.Status >= 400 {
		p := readProblem(a.Body)
		p.describe(up, e)
	}
	return err
}

// gone says that there is no such job at a poll: a 404 whose class the submit would read as a
// missing model.
func gone(a provider.Answer) bool { return a.Status == http.StatusNotFound }
