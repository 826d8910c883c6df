package dashboard

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// fakeTenant has what belongs to the organisation north. What is done to it stands in done, with who did it.
type fakeTenant struct {
	members []kinora.Membership
	entries []kinora.AuditEntry // newest first
	filters []kinora.AuditFilter
	looked  string        // where a page of the log that finds nothing ends; "" = at its end
	keys    []*kinora.Key // oldest first
	used    kinora.Usage
	points  []kinora.UsagePoint
	asked   []kinora.UsageQuestion
	ledger  []kinora.UsageEntry   // newest first
	passed  []string              // addresses that an export was asked for by
	assets  []*kinora.SourceAsset // newest first
	sent    []string              // requests of the API, with their forms
	refuses error                 // what the API answers with
	done    []string
	by      []kinora.Actor // who did what is done
}

func newFakeTenant() *fakeTenant {
	return &fakeTenant{members: []kinora.Membership{
		{OrganisationID: north, PersonID: "per_owner", Email: "owner@example.com", Role: kinora.RoleOwner},
		{OrganisationID: north, PersonID: "per_new", Email: "new@example.com", Role: kinora.RoleAdmin, Pending: true, InvitationID: "inv_new"},
	}}
}

func (f *fakeTenant) note(ctx context.Context, words ...string) {
	a, _ := kinora.ActorOf(ctx)
	f.by = append(f.by, a)
	f.done = append(f.done, a.Name+": "+strings.Join(words, " "))
}

// member finds a member of an organisation, as the service does.
func (f *fakeTenant) member(organisationID, personID string) error {
	if organisationID == north && slices.ContainsFunc(f.members, func(m kinora.Membership) bool {
		return m.PersonID == personID && !m.Pending || m.Pending && m.InvitationID == personID
	}) {
		return nil
	}
	return kinora.Errorf(kinora.ErrNotFound, "no such member")
}

func (f *fakeTenant) Members(_ context.Context, organisationID string) ([]kinora.Membership, error) {
	if organisationID != north {
		return nil, nil
	}
	return f.members, nil
}

func (f *fakeTenant) Invite(ctx context.Context, organisationID, email string, role kinora.Role) (*kinora.Membership, string, error) {
	if !strings.Contains(email, "@") {
		return nil, "", &kinora.Error{Code: kinora.ErrInvalid, Message: "email is not an address", Details: []kinora.FieldError{{Field: "email", Message: "email is not an address"}}}
	}
	if email == "owner@example.com" {
		return nil, "", kinora.Errorf(kinora.ErrConflict, "%s is a member already", email)
	}
	f.note(ctx, "invite", organisationID, email, string(role))
	m := &kinora.Membership{OrganisationID: organisationID, PersonID: "per_x", Email: email, Role: role, Pending: email != "known@example.com"}
	if !m.Pending {
		return m, "", nil
	}
	return m, "kinv_secret&more", nil
}

func (f *fakeTenant) SetRole(ctx context.Context, organisationID, personID string, role kinora.Role) error {
	if err := f.member(organisationID, personID); err != nil {
		return err
	}
	if personID == "per_owner" && role != kinora.RoleOwner {
		return kinora.Errorf(kinora.ErrConflict, "this is the organisation's last owner who can sign in")
	}
	f.note(ctx, "role", personID, string(role))
	return nil
}

func (f *fakeTenant) RemoveMember(ctx context.Context, organisationID, personID string) error {
	if err := f.member(organisationID, personID); err != nil {
		return err
	}
	f.note(ctx, "remove", personID)
	return nil
}

func (f *fakeTenant) RenameOrganisation(ctx context.Context, organisationID, name string) error {
	if name == "" {
		return kinora.FieldErrorf(kinora.ErrInvalid, "name", "name is required")
	}
	f.note(ctx, "rename", organisationID, name)
	return nil
}

func (f *fakeTenant) Audit(_ context.Context, filter kinora.AuditFilter, before string, limit int) ([]kinora.AuditEntry, string, error) {
	f.filters = append(f.filters, filter)
	if before == "nonsense" {
		return nil, "", kinora.Errorf(kinora.ErrInvalid, "before is not the id of an entry")
	}
	if len(f.entries) > limit {
		return f.entries[:limit], f.entries[limit-1].ID, nil
	}
	return f.entries, f.looked, nil
}

func (f *fakeTenant) key(organisationID, keyID string) (*kinora.Key, error) {
	for _, k := range f.keys {
		if organisationID == north && k.ID == keyID {
			return k, nil
		}
	}
	return nil, kinora.Errorf(kinora.ErrNotFound, "key not found")
}

func (f *fakeTenant) Keys(context.Context, string) ([]*kinora.Key, error) { return f.keys, nil }

func (f *fakeTenant) CreateKey(ctx context.Context, organisationID, name, kind string, expires time.Time) (*kinora.Key, string, error) {
	switch {
	case name == "":
		return nil, "", kinora.FieldErrorf(kinora.ErrInvalid, "name", "name is required")
	case kind != "sk" && kind != "kat_live":
		return nil, "", kinora.FieldErrorf(kinora.ErrInvalid, "kind", "kind must be one of two")
	case !expires.IsZero() && expires.Year() < 2026:
		return nil, "", kinora.FieldErrorf(kinora.ErrInvalid, "expires_at", "expires_at must lie in the future")
	}
	f.note(ctx, "create", organisationID, name, kind, instantText(expires.Truncate(24*time.Hour)))
	return &kinora.Key{ID: "key_new", Name: name, ExpiresAt: expires}, "sk-secret", nil
}

func (f *fakeTenant) RotateKey(ctx context.Context, organisationID, keyID string, overlap time.Duration) (*kinora.Key, string, error) {
	k, err := f.key(organisationID, keyID)
	if err != nil {
		return nil, "", err
	}
	if k.ReplacedBy != "" {
		return nil, "", kinora.Errorf(kinora.ErrConflict, "this key has ended, or has been rotated already")
	}
	f.note(ctx, "rotate", keyID, overlap.String())
	return &kinora.Key{ID: "key_next", Name: k.Name}, "sk-next", nil
}

func (f *fakeTenant) RevokeKey(ctx context.Context, organisationID, keyID string) error {
	_, err := f.key(organisationID, keyID)
	if err == nil {
		f.note(ctx, "revoke", keyID)
	}
	return err
}

func (f *fakeTenant) Usage(context.Context, string, time.Time) (kinora.Usage, error) {
	return f.used, nil
}

func (f *fakeTenant) UsageSeries(_ context.Context, _ string, q kinora.UsageQuestion) ([]kinora.UsagePoint, error) {
	f.asked = append(f.asked, q)
	return f.points, nil
}

func (f *fakeTenant) Ledger(_ context.Context, _, _ string, limit int) ([]kinora.UsageEntry, error) {
	return f.ledger[:min(limit, len(f.ledger))], nil
}

func (f *fakeTenant) Pass(w http.ResponseWriter, r *http.Request, a kinora.Actor, organisationID string) error {
	f.passed = append(f.passed, a.Name+" "+organisationID+" "+r.Header.Get("Accept")+" "+r.URL.String())
	if r.URL.Query().Get("from") > r.URL.Query().Get("to") {
		return kinora.Errorf(kinora.ErrInvalid, "from must lie before to")
	}
	w.Header().Set("Content-Type", "text/csv")
	_, _ = w.Write([]byte("a,b\n"))
	return nil
}

func (f *fakeTenant) List(_ context.Context, organisationID string, state kinora.AssetState, before string, limit int) (list []*kinora.SourceAsset, _ error) {
	for _, a := range f.assets {
		if organisationID == north && (state == "" || a.State == state) && (before == "" || a.IngestID < before) && len(list) < limit {
			list = append(list, a)
		}
	}
	return list, nil
}

func (f *fakeTenant) Ingest(_ context.Context, organisationID, ingestID string) (*kinora.SourceAsset, error) {
	for _, a := range f.assets {
		if organisationID == north && a.IngestID == ingestID {
			return a, nil
		}
	}
	return nil, kinora.Errorf(kinora.ErrNotFound, "source asset not found")
}

func (f *fakeTenant) Ingests(ctx context.Context, organisationID string, ingestIDs []string) (list []*kinora.SourceAsset, _ error) {
	for _, one := range ingestIDs {
		if a, err := f.Ingest(ctx, organisationID, one); err == nil {
			list = append(list, a)
		}
	}
	return list, nil
}

func (f *fakeTenant) Remove(ctx context.Context, organisationID, ingestID string) error {
	a, err := f.Ingest(ctx, organisationID, ingestID)
	if err != nil {
		return err
	}
	if !a.State.Terminal() {
		return kinora.Errorf(kinora.ErrConflict, "the source asset is in use")
	}
	f.note(ctx, "delete", ingestID)
	return nil
}

func (f *fakeTenant) MaxSize() int64 { return 1 << 20 }

func (f *fakeTenant) Call(r *http.Request, a kinora.Actor, organisationID string) (http.Header, []byte, error) {
	if f.refuses != nil {
		return nil, nil, f.refuses
	}
	form, err := r.MultipartReader()
	if err != nil {
		return nil, nil, err
	}
	text := a.Name + " " + organisationID + " " + r.Method + " " + r.URL.Path + " " + r.Header.Get("Idempotency-Key")
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, nil, err
		}
		text += " " + part.FormName() + "=" + string(content)
	}
	f.sent = append(f.sent, text)
	return http.Header{}, []byte("{}"), nil
}

func (f *fakeTenant) limits(*kinora.Organisation) map[string]int {
	return map[string]int{"in_flight_jobs": 50, "generations_create": 1200}
}

// page is what somebody sees at a page of north; anything but 200 fails the test.
func (s *stand) page(t *testing.T, who, path string) string {
	t.Helper()
	got := s.ask(who, "/dashboard/o/"+north+path, nil)
	if got.Code != http.StatusOK {
		t.Fatalf("%s as %s: %d %s", path, who, got.Code, got.Body)
	}
	return got.Body.String()
}

// post sends a form to a page of north, in a person's session.
func (s *stand) post(who, path string, pairs ...string) *httptest.ResponseRecorder {
	form := url.Values{"form_token": {s.token(who)}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return s.ask(who, "/dashboard/o/"+north+path, form)
}

// has fails the test for each piece of text that a page lacks.
func has(t *testing.T, body string, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if !strings.Contains(body, p) {
			t.Errorf("the page lacks %q:\n%s", p, body)
		}
	}
}
