package dashboard

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Keys knows an organisation's API keys. Errors of all methods: kinora.ErrNotFound, for a foreign key too; kinora.ErrUnavailable.
type Keys interface {
	// Keys lists them, those that have ended too, oldest first.
	Keys(ctx context.Context, organisationID string) ([]*kinora.Key, error)
	// CreateKey makes a key of the kind "sk" or "kat_live". It ends by itself at expires; zero = never. text is the key itself,
	// returned this once. Errors: kinora.ErrInvalid.
	CreateKey(ctx context.Context, organisationID, name, kind string, expires time.Time) (key *kinora.Key, text string, err error)
	// RotateKey makes a key in the place of another one, which goes on for overlap and then ends by itself.
	//
	// Errors: kinora.ErrInvalid; kinora.ErrConflict for a key that has ended or has been rotated already.
	RotateKey(ctx context.Context, organisationID, keyID string, overlap time.Duration) (key *kinora.Key, text string, err error)
	// RevokeKey ends a key at once.
	RevokeKey(ctx context.Context, organisationID, keyID string) error
}

// The API keys of an organisation.
func (d *Dashboard) keyRoutes() []route {
	const keys, one = organisationPath + "/keys", organisationPath + "/keys/{key_id}"
	return []route{
		{method: http.MethodGet, pattern: keys, who: admin, handler: d.listKeys},
		{method: http.MethodGet, pattern: keys + "/new", who: admin, handler: d.newKeyPage},
		{method: http.MethodPost, pattern: keys + "/new", who: admin, handler: d.createKey},
		{method: http.MethodPost, pattern: one + "/rotate", who: admin, handler: d.rotateKey},
		{method: http.MethodPost, pattern: one + "/revoke", who: admin, handler: d.revokeKey},
	}
}

// keyList is the list page.
type keyList struct {
	Live, Ended []keyRow // newest first
	Older       int      // of those that have ended, not shown
	Create      string   // page of the form
}

// mostEnded is how many keys are shown that have ended.
const mostEnded = 50

// keyRow is one key.
type keyRow struct {
	*kinora.Key
	State          string
	Tone           ui.Tone
	Rotate, Revoke string // where changes are posted to
}

// keyState tells how a key stands.
func keyState(k *kinora.Key, now time.Time) (string, ui.Tone) {
	const soon = 7 * 24 * time.Hour
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked", ui.Danger
	case !k.Live(now):
		return "expired", ui.Neutral
	case k.ReplacedBy != "":
		return "replaced, ends soon", ui.Warning
	case !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(now.Add(soon)):
		return "expires soon", ui.Warning
	}
	return "live", ui.Good
}

func (d *Dashboard) listKeys(ctx context.Context, v *visit) error {
	all, err := d.cfg.Keys.Keys(ctx, v.organisation.ID)
	if err != nil {
		return err
	}
	list := keyList{Create: v.here("keys", "new")}
	for i := len(all) - 1; i >= 0; i-- {
		k := all[i]
		row := keyRow{Key: k, Rotate: v.here("keys", k.ID, "rotate"), Revoke: v.here("keys", k.ID, "revoke")}
		row.State, row.Tone = keyState(k, d.now())
		if k.Live(d.now()) {
			list.Live = append(list.Live, row)
		} else {
			list.Ended = append(list.Ended, row)
		}
	}
	if n := len(list.Ended); n > mostEnded {
		list.Ended, list.Older = list.Ended[:mostEnded], n-mostEnded
	}
	return v.show(ctx, "API keys", keysBody(list))
}

// keyForm is the form by which a key is made.
type keyForm struct {
	Name, Kind string
	Life, At   string // days, or "at" and an instant of UTC to the minute
	Errors     map[string]string
	Action     string
	Trail      []ui.Link
}

func (v *visit) newKeyForm() keyForm {
	return keyForm{Kind: "sk", Action: v.here("keys", "new"), Trail: []ui.Link{{Label: "API keys", Href: v.here("keys")}, {Label: "New"}}}
}

func (d *Dashboard) newKeyPage(ctx context.Context, v *visit) error {
	return v.show(ctx, "New API key", keyFormBody(v.newKeyForm()))
}

func (d *Dashboard) createKey(ctx context.Context, v *visit) error {
	f := v.newKeyForm()
	f.Name, f.Kind, f.Life, f.At = strings.TrimSpace(v.form("name")), v.form("kind"), v.form("life"), v.form("at")
	expires, err := f.expires(d.now())
	if err != nil {
		f.Errors = fieldErrors(err)
		return v.showAs(ctx, http.StatusUnprocessableEntity, "New API key", keyFormBody(f))
	}
	key, text, err := d.cfg.Keys.CreateKey(ctx, v.organisation.ID, f.Name, f.Kind, expires)
	if kinora.CodeOf(err) == kinora.ErrInvalid {
		f.Errors = errorsBeside(err, map[string]string{"name": "name", "kind": "kind", "expires_at": "at"})
		return v.showAs(ctx, http.StatusUnprocessableEntity, "New API key", keyFormBody(f))
	}
	if err != nil {
		return err
	}
	return v.showOnce(ctx, "API key", newKeyBody(v.newKey(key, text, "")))
}

// expires is when a key that the form describes ends; zero = never.
func (f keyForm) expires(now time.Time) (time.Time, error) {
	wrong := func(field, message string) error {
		return &kinora.Error{Code: kinora.ErrInvalid, Message: message, Details: []kinora.FieldError{{Field: field, Message: message}}}
	}
	switch f.Life {
	case "":
		return time.Time{}, nil
	case "at":
		at, err := time.Parse(minute, f.At)
		if err != nil {
			return at, wrong("at", "choose the day and the time at which it ends")
		}
		if !at.After(now) {
			return at, wrong("at", "the end must lie in the future")
		}
		return at, nil
	}
	days, err := strconv.Atoi(f.Life)
	if err != nil || days < 1 || days > 3660 {
		return time.Time{}, wrong("life", "choose one of these")
	}
	return now.Add(time.Duration(days) * 24 * time.Hour), nil
}

// newKeyPage shows a key that has just been made, this once.
type newKeyPage struct {
	Key   *kinora.Key
	Text  string
	Curl  string
	Note  string // what has become of the one before; "" = there was none
	Back  string
	Trail []ui.Link
}

func (v *visit) newKey(key *kinora.Key, text, note string) newKeyPage {
	return newKeyPage{Key: key, Text: text, Note: note, Back: v.here("keys"),
		Curl:  "curl -s " + v.api("/v1/models") + " \\\n  -H 'Authorization: Bearer " + text + "'",
		Trail: []ui.Link{{Label: "API keys", Href: v.here("keys")}, {Label: key.Name}}}
}

// overlaps are the choices of how long a rotated key goes on, in hours.
var overlaps = []ui.Option{{Value: "1", Label: "An hour"}, {Value: "24", Label: "A day"}, {Value: "168", Label: "A week"}, {Value: "720", Label: "30 days"}, {Value: "0", Label: "Not at all: it ends now"}}

func (d *Dashboard) rotateKey(ctx context.Context, v *visit) error {
	hours, err := strconv.Atoi(v.form("overlap"))
	if err != nil || hours < 0 || hours > 24*366 {
		return v.refused(v.here("keys"), kinora.Errorf(kinora.ErrInvalid, "choose how long the old key goes on"))
	}
	key, text, err := d.cfg.Keys.RotateKey(ctx, v.organisation.ID, v.path("key_id"), time.Duration(hours)*time.Hour)
	if err != nil {
		return v.refused(v.here("keys"), err)
	}
	note := "The key before it has ended."
	if hours > 0 {
		note = "The key before it goes on for the time that you have chosen, unless its own end comes sooner, and then ends by itself."
	}
	return v.showOnce(ctx, "API key", newKeyBody(v.newKey(key, text, note)))
}

func (d *Dashboard) revokeKey(ctx context.Context, v *visit) error {
	if err := d.cfg.Keys.RevokeKey(ctx, v.organisation.ID, v.path("key_id")); err != nil {
		return v.refused(v.here("keys"), err)
	}
	return v.done(v.here("keys"), "The key has been revoked.")
}
