package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
)

// The exit codes. They are a promise: scripts depend on them.
const (
	exitOK           = 0
	exitFailure      = 1
	exitUsage        = 2
	exitNotFound     = 3
	exitUnauthorised = 4
	exitUnavailable  = 5
	exitGeneration   = 6
	exitTimeout      = 7
	exitConflict     = 8
	exitInterrupted  = 130 // 128 + SIGINT, as shells have it
)

type exitCode struct {
	code    int
	word    string // "code" of a failure in JSON, unless it knows a better one
	meaning string
}

func exitCodes() []exitCode {
	return []exitCode{
		{exitOK, "ok", "done"},
		{exitFailure, "failure", "failed for a reason that has no code of its own"},
		{exitUsage, "usage", "the command line, the configuration or the request is wrong; repeating it is pointless"},
		{exitNotFound, "not_found", "there is no such generation, organisation or key"},
		{exitUnauthorised, "unauthorised", "the key or token is missing, wrong or not allowed to do this"},
		{exitUnavailable, "unavailable", "server, database or storage is out of reach or busy; try again later"},
		{exitGeneration, "generation_failed", "the generation ended without success"},
		{exitTimeout, "timeout", "--timeout passed before the end"},
		{exitConflict, "conflict", "something stands in the way: it exists already, is still in use, or the idempotency key was used for another request"},
		{exitInterrupted, "interrupted", "interrupted by a signal"},
	}
}

// failure is an error as a command shows it.
type failure struct {
	exit    int
	code    string // for programs; empty = the exit code's word
	message string // for people, without secrets
	hint    string // what to do next; may be empty
	shown   bool   // the command has told the outcome itself; only the exit code is left
	cause   error
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.cause }

func usage(message, hint string) error {
	return &failure{exit: exitUsage, message: message, hint: hint}
}

// withHint adds what to do next to an error, in place of what would be shown otherwise.
func withHint(err error, hint string) error {
	f := *explain(err)
	f.hint = hint
	return &f
}

func usageFrom(err error) error {
	hint := "kinora --help lists the commands"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		hint = "see kinora help " + commandPath(parse.Context.Selected())
	}
	return &failure{exit: exitUsage, message: err.Error(), hint: hint, cause: err}
}

func commandPath(n *kong.Node) string {
	var words []string
	for ; n != nil && n.Type == kong.CommandNode; n = n.Parent {
		words = append([]string{n.Name}, words...)
	}
	return strings.Join(words, " ")
}

// exitOf is the one table from the codes of package kinora to exit codes.
func exitOf(code kinora.ErrorCode) int {
	switch code {
	case kinora.ErrInvalid, kinora.ErrTooLarge:
		return exitUsage
	case kinora.ErrUnauthorized, kinora.ErrForbidden, kinora.ErrBudget:
		return exitUnauthorised
	case kinora.ErrNotFound:
		return exitNotFound
	case kinora.ErrConflict:
		return exitConflict
	case kinora.ErrRateLimited, kinora.ErrNoUpstream, kinora.ErrUnavailable:
		return exitUnavailable
	}
	return exitFailure
}

// exitOfAnswer is the same for what a server answers.
func exitOfAnswer(err error) int {
	switch {
	case errors.Is(err, client.ErrInvalid):
		return exitUsage
	case errors.Is(err, client.ErrUnauthorized), errors.Is(err, client.ErrForbidden), errors.Is(err, client.ErrInsufficientQuota):
		return exitUnauthorised
	case errors.Is(err, client.ErrNotFound):
		return exitNotFound
	case errors.Is(err, client.ErrConflict):
		return exitConflict
	case errors.Is(err, client.ErrRateLimited), errors.Is(err, client.ErrUnavailable):
		return exitUnavailable
	}
	return exitFailure
}

// explain turns any error into what is shown of it.
func explain(err error) *failure {
	var (
		known    *failure
		domain   *kinora.Error
		answered *client.Error
		failed   *client.TaskFailedError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled):
		return &failure{exit: exitInterrupted, message: "interrupted", cause: err}
	case errors.As(err, &failed):
		return &failure{exit: exitGeneration, message: "the generation failed: " + failed.Task.ErrorMessage, cause: err}
	case errors.As(err, &answered):
		return explainAnswer(answered, err)
	case errors.As(err, &domain):
		return &failure{exit: exitOf(domain.Code), code: string(domain.Code), message: err.Error(), hint: domain.Hint, cause: err}
	case errors.Is(err, client.ErrUnavailable):
		return &failure{exit: exitUnavailable, message: "the server gave no answer: " + withoutPrefix(err.Error()), cause: err,
			hint: "is it running, and is --server (KINORA_SERVER) its address?"}
	case errors.Is(err, context.DeadlineExceeded): // below the network's own time-outs, which claim to be this as well
		return &failure{exit: exitTimeout, message: "the time is up", cause: err}
	}
	return &failure{exit: exitOfAnswer(err), message: withoutPrefix(err.Error()), cause: err}
}

func explainAnswer(e *client.Error, err error) *failure {
	// The server's words alone say it; around them stays what the command was about.
	f := &failure{exit: exitOfAnswer(e), code: e.Code, message: strings.Replace(err.Error(), e.Error(), e.Message, 1), cause: err}
	if e.Message == "" {
		f.message = fmt.Sprintf("the server answered %d", e.StatusCode)
	}
	switch {
	case errors.Is(e, client.ErrUnauthorized):
		f.hint = "check KINORA_KEY or --key; a revoked key does not come back"
	case errors.Is(e, client.ErrRateLimited) && e.RetryAfter > 0:
		f.hint = fmt.Sprintf("try again in %s", e.RetryAfter)
	case e.RequestID != "" && e.StatusCode >= 500:
		f.hint = "the server's log has more, under request " + e.RequestID
	}
	return f
}

// withoutPrefix drops the name of the package that most errors of package client begin with.
func withoutPrefix(s string) string { return strings.TrimPrefix(s, "client: ") }

// fail shows err, unless the command has done so, and returns its exit code.
func (c *console) fail(err error) int {
	if err == nil {
		return exitOK
	}
	f := explain(err)
	if f.shown {
		return f.exit
	}
	if f.code == "" {
		f.code = wordOf(f.exit)
	}
	if c.json {
		c.writeJSON(c.err, failureShape{Error: failureBody{Code: f.code, Message: f.message, Hint: f.hint, ExitCode: f.exit}})
		return f.exit
	}
	fmt.Fprintf(c.err, "%s %s\n", c.errStyle.bad("kinora:"), printable(f.message))
	if f.hint != "" {
		fmt.Fprintf(c.err, "        %s\n", c.errStyle.dim(printable(f.hint)))
	}
	return f.exit
}

// failureShape is how --json tells a failure, on standard error.
type failureShape struct {
	Error failureBody `json:"error"`
}

type failureBody struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Hint     string `json:"hint"` // empty = none
	ExitCode int    `json:"exit_code"`
}

func wordOf(code int) string {
	for _, e := range exitCodes() {
		if e.code == code {
			return e.word
		}
	}
	return "failure"
}
