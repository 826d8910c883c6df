package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// What clients of OpenAI's API find here under the same paths and shapes (contract upstream-openai, sections 2, 3 and 5;
// here we are the server). It is a third way into the same core: what is made here is read, cancelled and told of like
// everything else.

// The headers that OpenAI's SDKs heed.
const (
	shouldRetry    = "X-Should-Retry"          // outweighs what the status would make of it
	pollAfter      = "Openai-Poll-After-Ms"    // until the next look at what has not ended
	stainlessRetry = "X-Stainless-Retry-Count" // sent by them: 0 with the first try
	generationName = "X-Kinora-Generation-Id"  // own addition: what an answer is about
	minPollAfter   = 500 * time.Millisecond    // of pollAfter
	maxPollAfter   = 8 * time.Second           // more they do not wait (contract, section 2)
	notRepeatable  = "false"                   // of shouldRetry
	objectVideo    = "video"                   // of "object"
	objectImages   = "image.generation"        // of "object", own addition
	typeInvalid    = "invalid_request_error"   // of error.type
	typeModeration = "image_generation_user_error"
	typeServer     = "server_error"
)

// The table of the routes under /v1 (contract, section 5).
var openaiDialect = dialect{
	name: "openai",
	answers: map[kinora.ErrorCode]answer{
		kinora.ErrInvalid:      {status: 400, word: typeInvalid},
		errMalformed:           {status: 400, word: typeInvalid},
		kinora.ErrTooLarge:     {status: 413, word: typeInvalid},
		kinora.ErrUnauthorized: {status: 401, word: "authentication_error"},
		kinora.ErrForbidden:    {status: 403, word: "permission_error"},
		kinora.ErrNotFound:     {status: 404, word: typeInvalid},
		errNoModel:             {status: 404, word: typeInvalid},
		errRoute:               {status: 404, word: typeInvalid},
		errMethod:              {status: 405, word: typeInvalid},
		kinora.ErrConflict:     {status: 409, word: typeInvalid},
		errMedia:               {status: 415, word: typeInvalid},
		errRange:               {status: 416, word: typeInvalid},
		kinora.ErrRateLimited:  {status: 429, word: "requests"},
		kinora.ErrBudget:       {status: 429, word: "insufficient_quota"}, // as OpenAI tells it
		errClient:              {status: statusClientGone, word: typeInvalid},
		kinora.ErrInternal:     {status: 500, word: typeServer, text: "internal error", withID: true},
		kinora.ErrNoUpstream:   {status: 503, word: typeServer},
		kinora.ErrUnavailable:  {status: 503, word: typeServer},
		errOverload:            {status: 503, word: typeServer},
		errStillRunning:        {status: 504, word: typeServer},
	},
	envelope: func(a answer, message string, e *kinora.Error, _ int) any {
		body := openaiErrorBody{Message: message, Type: a.word}
		if word, ok := openaiCodes[e.Code]; ok {
			body.Code = &word
		}
		var wrong *wrongParam
		if errors.As(e, &wrong) {
			body.Param = &wrong.name
		}
		return openaiError{Error: body}
	},
}

// Refusals that only this dialect has.
const (
	errNoModel      kinora.ErrorCode = "model_not_found"
	errStillRunning kinora.ErrorCode = "still_running" // an answer could be held no longer; the generation goes on
)

// openaiCodes are the values of error.code; what is absent has none.
var openaiCodes = map[kinora.ErrorCode]string{
	kinora.ErrUnauthorized: "invalid_api_key",
	kinora.ErrNotFound:     "not_found",
	errNoModel:             "model_not_found",
	errRoute:               "unknown_url",
	kinora.ErrConflict:     "idempotency_conflict",
	kinora.ErrRateLimited:  "rate_limit_exceeded",
	kinora.ErrBudget:       "insufficient_quota",
	kinora.ErrNoUpstream:   "model_unavailable",
	errStillRunning:        "generation_in_progress",
}

type openaiError struct {
	Error openaiErrorBody `json:"error"`
}

type openaiErrorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// wrongParam is the field that an error is about.
type wrongParam struct{ name string }

func (w *wrongParam) Error() string { return "about " + w.name }

// refuseParam makes an error about a field, with which its message begins.
func refuseParam(name, rule string) *kinora.Error {
	return &kinora.Error{Code: kinora.ErrInvalid, Message: name + " " + rule, Err: &wrongParam{name}}
}

// inOpenAIWords turns a refusal in the submit API's words into one in this dialect's: what is input.metadata.n there, and
// input.images, is n here, and whatever the route calls its images.
func inOpenAIWords(err error, images string) error {
	var e *kinora.Error
	if !errors.As(err, &e) || e.Code != kinora.ErrInvalid || e.Err != nil {
		return err
	}
	name, rule, found := strings.Cut(e.Message, " ")
	said := name
	name = strings.TrimRight(name, ":;,.") // the name of a field ends before what sets it off: "webhook.url: …"
	short, inside := strings.CutPrefix(name, "input.")
	if !found || !inside && name != "model" && name != "seconds" && !strings.HasPrefix(name, "webhook") {
		return err
	}
	if short = strings.TrimPrefix(short, "metadata."); short == "mask_url" {
		short = fieldMask
	}
	for _, word := range []string{"images", "image"} {
		if rest, is := strings.CutPrefix(short, word); is && (rest == "" || rest[0] == '[') {
			short = images + rest
			break
		}
	}
	refusal := refuseParam(short, rule)
	refusal.Message = short + said[len(name):] + " " + rule
	refusal.RetryAfter = e.RetryAfter
	return refusal
}

// acceptOpenAI makes a generation durable. A caller who goes away meanwhile does not break that off: then it would not be
// known what his SDK's repeat is to find.
func (s *Server) acceptOpenAI(ctx context.Context, x *exchange, r *http.Request, q *openaiRequest) (*kinora.Generation, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.RequestTimeout)
	defer cancel()
	sub := q.submission
	sub.OrganisationID, sub.Surface = x.organisation.ID, kinora.SurfaceOpenAI
	if q.key != "" {
		sub.IdempotencyKey, sub.IdempotencyScope, sub.RequestHash = q.key, idempotencyScope(r), q.hash
	} else if repeated(r.Header) {
		if g, err := s.firstTry(ctx, x, r, q); g != nil || err != nil {
			return g, err
		}
	}
	accepted, err := s.cfg.Generations.Accept(ctx, sub)
	switch code := kinora.CodeOf(err); {
	case code == kinora.ErrConflict, code == kinora.ErrBudget, code == kinora.ErrUnavailable && q.key == "":
		// Of the last it is not known whether something was accepted, and without a key a repeat would make another.
		x.Header().Set(shouldRetry, notRepeatable)
	}
	if err != nil {
		return nil, inOpenAIWords(err, q.images)
	}
	if accepted.Generation.Input.CallbackIgnored {
		x.Header().Set(callbackIgnored, ignoredPolling)
	}
	x.tellReplay(accepted.Replayed)
	x.Header().Set(generationName, accepted.Generation.ID)
	return accepted.Generation, nil
}

// checkModel refuses a model that does not exist, or that makes something else than the route is for.
func (s *Server) checkModel(name string, kind kinora.Kind) error {
	if s.cfg.Models == nil {
		return nil // Accept knows better
	}
	for _, m := range s.cfg.Models.Models() {
		switch {
		case m.Name != name:
		case m.Kind != kind:
			return refuseParam("model", "must be one that makes "+string(kind)+"s; "+shown(name)+" makes "+string(m.Kind)+"s")
		default:
			return nil
		}
	}
	return noModel(name)
}

func noModel(name string) *kinora.Error {
	return &kinora.Error{Code: errNoModel, Message: "the model " + shown(name) + " does not exist", Err: &wrongParam{"model"}}
}

// openaiWord is a state in this dialect's words.
func openaiWord(state kinora.GenerationState) string {
	switch state {
	case kinora.GenerationIngesting, kinora.GenerationQueued:
		return "queued"
	case kinora.GenerationRunning:
		return "in_progress"
	case kinora.GenerationSucceeded:
		return "completed"
	}
	return "failed"
}

// openaiFault is why a generation failed.
type openaiFault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func openaiFaultOf(g *kinora.Generation) *openaiFault {
	if g.State != kinora.GenerationFailed && g.State != kinora.GenerationCancelled {
		return nil
	}
	failure := failureOf(g)
	fault := &openaiFault{Code: string(failure.Code), Message: failure.Message}
	if failure.Code == kinora.FailureContentRejected {
		fault.Code = "moderation_blocked"
	}
	return fault
}

// tellPace tells the caller when to look again: after a tenth of the time that the generation has taken so far.
func (s *Server) tellPace(x *exchange, g *kinora.Generation) {
	if g.State.Terminal() {
		return
	}
	wait := min(max(s.now().Sub(g.CreatedAt)/10, minPollAfter), maxPollAfter)
	x.Header().Set(pollAfter, strconv.FormatInt(wait.Milliseconds(), 10))
}

// move takes a place in another gate instead of the one that the request is in.
func (s *Server) move(x *exchange, to *gate) error {
	if x.place.gate == to && x.place.in {
		return nil
	}
	x.place.give()
	x.place = place{gate: to, owner: x.organisation.ID}
	return x.place.take()
}

// unixTime is a time in whole seconds; nil for one that has not come.
func unixTime(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := t.Unix()
	return &n
}

// quoted is a text as JSON; like writeJSON it leaves the "&" of URLs as they are.
func quoted(text string) json.RawMessage {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		panic(err) // a string can always be encoded
	}
	return trimNewline(buf.Bytes())
}
