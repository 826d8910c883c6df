package dashboard

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// fakeInstance is an instance as operators see it. What is done to it stands in done, with who did it.
type fakeInstance struct {
	troubled  []kinora.TroubledAttempt
	search    kinora.TroubleSearch // the last one
	attempts  []*kinora.Attempt    // of every generation; an unknown one has one attempt of its own
	queues    kinora.Queues
	health    kinora.Health
	settings  []kinora.Setting
	refuse    error                  // of every action
	watched   bool                   // what is settled goes on
	allowance kinora.AllowanceChange // the last one set
	persons   []kinora.Person
	ownerless []kinora.Ownerless
	done      []string
}

func newFakeInstance() *fakeInstance { return &fakeInstance{} }

func (f *fakeInstance) note(ctx context.Context, words ...string) {
	a, _ := kinora.ActorOf(ctx)
	f.done = append(f.done, a.Name+": "+strings.Join(words, " "))
}

func (f *fakeInstance) TroubledAttempts(_ context.Context, q kinora.TroubleSearch) (*kinora.TroubledAttempts, error) {
	f.search = q
	return &kinora.TroubledAttempts{List: f.troubled}, nil
}

func (f *fakeInstance) Attempts(_ context.Context, generationID string) ([]*kinora.Attempt, error) {
	if f.attempts != nil {
		return f.attempts, nil
	}
	return []*kinora.Attempt{{GenerationID: generationID, OrganisationID: north, State: kinora.AttemptOpen}}, nil
}

func (f *fakeInstance) act(ctx context.Context, words ...string) (*kinora.Attempt, error) {
	if f.refuse != nil {
		return nil, f.refuse
	}
	f.note(ctx, words...)
	return &kinora.Attempt{GenerationID: "task_1"}, nil
}

func (f *fakeInstance) LookNow(ctx context.Context, attemptID string) (*kinora.Attempt, error) {
	return f.act(ctx, "look", attemptID)
}

func (f *fakeInstance) CancelAttempt(ctx context.Context, attemptID string) (*kinora.Generation, error) {
	if _, err := f.act(ctx, "cancel", attemptID); err != nil {
		return nil, err
	}
	return &kinora.Generation{ID: "task_1"}, nil
}

func (f *fakeInstance) GiveUp(ctx context.Context, attemptID, reason string) (*kinora.Attempt, error) {
	return f.act(ctx, "give up", attemptID, reason)
}

func (f *fakeInstance) SettleByHand(ctx context.Context, attemptID, upstreamID string) (*kinora.SettledByHand, error) {
	if _, err := f.act(ctx, "settle", attemptID, upstreamID); err != nil {
		return nil, err
	}
	return &kinora.SettledByHand{Watched: f.watched}, nil
}

func (f *fakeInstance) Health(context.Context) (*kinora.Health, error) { return &f.health, nil }
func (f *fakeInstance) Queues(context.Context) (*kinora.Queues, error) { return &f.queues, nil }
func (f *fakeInstance) Storage(context.Context) (*kinora.StorageUse, error) {
	return &kinora.StorageUse{Folder: "/var/lib/kinora/files", Free: -1, Database: "sqlite"}, nil
}
func (f *fakeInstance) Settings() []kinora.Setting { return f.settings }
func (f *fakeInstance) Version() string            { return "v1.2.3" }
func (f *fakeInstance) Migrations(context.Context) ([]kinora.Migration, error) {
	return []kinora.Migration{{Version: 1, Name: "00001_first.sql", Applied: true}, {Version: 2, Name: "00002_second.sql"}}, nil
}
func (f *fakeInstance) MasterKeys(context.Context) (kinora.MasterKeys, error) {
	return kinora.MasterKeys{Current: "41ab0c6e", Keys: []kinora.MasterKeyUse{{ID: "41ab0c6e", Known: true, Sealed: 3}, {ID: "0badc0de", Sealed: 1}}}, nil
}
func (f *fakeInstance) Models() []kinora.OfferedModel {
	return []kinora.OfferedModel{{Model: kinora.Model{Name: "kite-1", Kind: kinora.KindVideo, Deadline: 90 * time.Minute,
		Routes: []kinora.Route{{Provider: "first", UpstreamModel: "kite-one"}, {Provider: "second", Accounts: []string{"north", "south"}}}}, Price: 350_000}}
}
func (f *fakeInstance) Workflows() []kinora.OfferedWorkflow {
	return []kinora.OfferedWorkflow{{Name: "room", Description: "A <room>", Model: "kite-1", File: "built-in", Review: true}}
}

func (f *fakeInstance) NewOrganisation(ctx context.Context, name string) (*kinora.Organisation, *kinora.WebhookSecret, error) {
	if name == "" {
		return nil, nil, kinora.FieldErrorf(kinora.ErrInvalid, "name", "name is required")
	}
	f.note(ctx, "organisation", name)
	return &kinora.Organisation{ID: south, Name: name}, &kinora.WebhookSecret{Text: "whsec_first"}, nil
}

func (f *fakeInstance) FirstKey(ctx context.Context, organisationID string) (string, error) {
	if f.refuse != nil {
		return "", f.refuse
	}
	f.note(ctx, "key", organisationID)
	return "sk-first", nil
}

func (f *fakeInstance) SetAllowance(ctx context.Context, organisationID string, c kinora.AllowanceChange) error {
	if _, err := (kinora.Allowance{}).With(c); err != nil {
		return err
	}
	f.note(ctx, "allowance", organisationID)
	f.allowance = c
	return nil
}

func (f *fakeInstance) SetDisabled(ctx context.Context, id string, disabled bool) error {
	_, err := f.act(ctx, "disabled", id, strconv.FormatBool(disabled))
	return err
}

func (f *fakeInstance) Usage(context.Context, string, time.Time) (kinora.Usage, error) {
	return kinora.Usage{Succeeded: 1234, Billable: 1200, Amount: 12_500_000}, nil
}

// fakePersons are the persons of an instance.
type fakePersons struct{ *fakeInstance }

func (f fakePersons) SetDisabled(ctx context.Context, id string, disabled bool) ([]kinora.Ownerless, error) {
	if err := f.fakeInstance.SetDisabled(ctx, id, disabled); err != nil || !disabled {
		return nil, err
	}
	return f.ownerless, nil
}

func (f *fakeInstance) Ownerless(context.Context) ([]kinora.Ownerless, error) {
	return f.ownerless, nil
}

func (f *fakeInstance) Persons(context.Context) ([]kinora.Person, error) { return f.persons, nil }

func (f *fakeInstance) Person(_ context.Context, id string) (*kinora.Person, []kinora.Membership, error) {
	for _, p := range f.persons {
		if p.ID == id {
			return &p, []kinora.Membership{{OrganisationID: north, OrganisationName: "North", PersonID: id, Role: kinora.RoleAdmin, Pending: true}}, nil
		}
	}
	return &kinora.Person{ID: id, Email: "other@example.com"}, nil, nil
}

func (f *fakeInstance) SetOperator(ctx context.Context, id string, operator bool) error {
	_, err := f.act(ctx, "operator", id, strconv.FormatBool(operator))
	return err
}

func (f *fakeInstance) ResetPassword(ctx context.Context, id string) (string, error) {
	if _, err := f.act(ctx, "reset", id); err != nil {
		return "", err
	}
	return "kinv_secret&more", nil
}
