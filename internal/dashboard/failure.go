package dashboard

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// failures is the one table of how errors are answered.
var failures = map[kinora.ErrorCode]struct {
	status int
	title  string
}{
	kinora.ErrInvalid:      {http.StatusUnprocessableEntity, "That cannot be done"},
	kinora.ErrUnauthorized: {http.StatusUnprocessableEntity, "That is not right"},
	kinora.ErrForbidden:    {http.StatusForbidden, "Not allowed"},
	kinora.ErrNotFound:     {http.StatusNotFound, "Not found"},
	kinora.ErrConflict:     {http.StatusConflict, "Not in this state"},
	kinora.ErrTooLarge:     {http.StatusRequestEntityTooLarge, "Too large"},
	kinora.ErrRateLimited:  {http.StatusTooManyRequests, "Too many requests"},
	kinora.ErrBudget:       {http.StatusPaymentRequired, "The budget is spent"},
	kinora.ErrNoUpstream:   {http.StatusServiceUnavailable, "No account can do this"},
	kinora.ErrUnavailable:  {http.StatusServiceUnavailable, "Out of reach for a moment"},
	kinora.ErrInternal:     {http.StatusInternalServerError, "Something went wrong"},
}

// messageOf is what of an error may be shown.
func messageOf(err error) string {
	var e *kinora.Error
	if !errors.As(err, &e) || e.Code == kinora.ErrInternal || e.Message == "" {
		return "This is a fault of the server's. It has been logged with the number of the request."
	}
	return e.Message
}

// fieldErrors are what is wrong with each field; a message that names none of them stands under "".
func fieldErrors(err error) map[string]string {
	var e *kinora.Error
	if err == nil || !errors.As(err, &e) {
		return nil
	}
	found := map[string]string{}
	for _, f := range e.Details {
		found[f.Field] = f.Message
	}
	if len(found) == 0 {
		found[""] = e.Message
	}
	return found
}

// errorsAt is fieldErrors for a form that has these fields: what is about others stands under "".
func errorsAt(err error, fields ...string) map[string]string {
	named := map[string]string{}
	for _, name := range fields {
		named[name] = name
	}
	return errorsBeside(err, named)
}

// errorsBeside is errorsAt for a form that calls fields otherwise than the services do: fields are the form's names by theirs.
func errorsBeside(err error, fields map[string]string) map[string]string {
	found := map[string]string{}
	for name, message := range fieldErrors(err) {
		at := fields[name] // "" for a field that the form does not have
		if at != "" {
			message = strings.TrimPrefix(message, name+": ") // it stands beside the field's label
		}
		found[at] = strings.TrimSpace(found[at] + " " + message)
	}
	return found
}

// fail answers with an error: on a page of its own, or in the place for messages where a script has asked.
func (v *visit) fail(ctx context.Context, err error) {
	code := kinora.CodeOf(err)
	shown, ok := failures[code]
	if !ok {
		shown = failures[kinora.ErrInternal]
	}
	v.logFailure(ctx, shown.status, err)
	var e *kinora.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	f := failurePage{Title: shown.title, Message: messageOf(err), Home: v.link()}
	if shown.status >= http.StatusInternalServerError {
		f.RequestID = v.requestID
	}
	if v.isPart() {
		v.w.Header().Set("HX-Retarget", "#flash")
		v.w.Header().Set("HX-Reswap", "innerHTML")
		_ = v.draw(ctx, shown.status, failureAlert(f))
		return
	}
	if v.showAs(ctx, shown.status, f.Title, failureBody(f)) == nil {
		return
	}
	// Not even the frame can be drawn, which needs the database.
	_ = v.draw(ctx, shown.status, within(ui.Bare(v.document(f.Title)), failureBody(f)))
}

// logFailure logs what an operator should know of, once; what visitors do wrong is logged at debug level.
func (v *visit) logFailure(ctx context.Context, status int, err error) {
	level := slog.LevelDebug
	switch {
	case status == http.StatusInternalServerError:
		level = slog.LevelError
	case status >= http.StatusInternalServerError:
		level = slog.LevelWarn
	}
	if errors.Is(err, context.Canceled) { // the browser has gone
		level = slog.LevelDebug
	}
	v.log.LogAttrs(ctx, level, "dashboard request failed", slog.String("request_id", v.requestID), slog.String("method", v.r.Method),
		slog.String("route", v.route.pattern), slog.Int("status", status), slog.String("error", err.Error()))
}

// failurePage is an error as it is shown.
type failurePage struct {
	Title, Message string
	RequestID      string // empty = there is nothing in the log
	Home           string
}
