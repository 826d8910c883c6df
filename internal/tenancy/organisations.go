package tenancy

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// MaxWebhookHosts is the longest allowlist of an organisation.
const MaxWebhookHosts = 200

// maxURL is what the destination check takes at most, in bytes.
const maxURL = 2048

// OrganisationChange says what is to be changed; nil leaves a field as it is.
type OrganisationChange struct {
	Name           *string
	DefaultWebhook *string   // "" = none
	WebhookHosts   *[]string // empty = any public host
	OperatorHook   *string   // "" = none
	Disabled       *bool
	Allowance      *kinora.AllowanceChange
}

// CreateOrganisation makes an organisation with a webhook secret, which is returned this once.
// DefaultWebhook and WebhookHosts of change are optional. Errors: ErrInvalid.
func (s *Service) CreateOrganisation(ctx context.Context, change OrganisationChange) (*kinora.Organisation, *kinora.WebhookSecret, error) {
	now := s.instant()
	org := &kinora.Organisation{ID: id.New(id.Organisation, now), WebhookHosts: []string{}, CreatedAt: now}
	if change.Name == nil {
		change.Name = new(string) // refused by apply
	}
	if err := s.apply(org, change); err != nil {
		return nil, nil, err
	}
	secret, sealed, err := s.newSecret(org.ID, randomSecret(), now)
	if err != nil {
		return nil, nil, err
	}
	err = s.change(ctx, func(tx *store.Tx) error {
		if err := tx.InsertOrganisation(org); err != nil {
			return err
		}
		if err := tx.InsertWebhookSecret(org.ID, sealed, now); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditOrganisationCreate, org.ID, "", map[string]any{"name": org.Name,
			"default_webhook": kinora.AuditURL(org.DefaultWebhook), "webhook_hosts": org.WebhookHosts})
	})
	if err != nil {
		return nil, nil, err
	}
	return org, secret, nil
}

// Organisation reads one organisation, as it was at most DefaultCacheFor ago. Errors: ErrNotFound.
func (s *Service) Organisation(ctx context.Context, organisationID string) (*kinora.Organisation, error) {
	org, err := s.orgs.get(ctx, organisationID, func(ctx context.Context) (org *kinora.Organisation, err error) {
		err = s.db.View(ctx, func(tx *store.Tx) error {
			org, err = tx.Organisation(organisationID)
			return absent(err, noOrganisation)
		})
		return org, err
	})
	if err != nil {
		return nil, err
	}
	return copyOf(org), nil
}

// ListOrganisations reads all organisations, oldest first.
func (s *Service) ListOrganisations(ctx context.Context) ([]*kinora.Organisation, error) {
	var list []*kinora.Organisation
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Organisations()
		return err
	})
	return list, err
}

// NewestOrganisations reads the limit organisations made last, newest first.
func (s *Service) NewestOrganisations(ctx context.Context, limit int) ([]*kinora.Organisation, error) {
	var list []*kinora.Organisation
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.NewestOrganisations(limit)
		return err
	})
	return list, err
}

// OrganisationNames reads names by ids, in one query. Ids that there are not are left out.
func (s *Service) OrganisationNames(ctx context.Context, ids []string) (map[string]string, error) {
	var names map[string]string
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		names, err = tx.OrganisationNames(ids)
		return err
	})
	return names, err
}

// UpdateOrganisation changes an organisation and returns it as it then is. Disabling it
// cuts its keys off on this node before the method returns, on others within
// DefaultCacheFor; generations under way run on. Errors: ErrInvalid, ErrNotFound.
func (s *Service) UpdateOrganisation(ctx context.Context, organisationID string, change OrganisationChange) (*kinora.Organisation, error) {
	var org *kinora.Organisation
	err := s.change(ctx, func(tx *store.Tx) (err error) {
		if org, err = lock(tx, organisationID); err != nil {
			return err
		}
		old := copyOf(org)
		if err := s.apply(org, change); err != nil {
			return err
		}
		if change.WebhookHosts != nil {
			if err := s.checkEndpoints(tx, org); err != nil {
				return err
			}
		}
		if err := tx.SaveOrganisation(org); err != nil {
			return err
		}
		changes := organisationChanges(old, org)
		if len(changes) == 0 {
			return nil
		}
		return tx.Audit(kinora.AuditOrganisationUpdate, org.ID, "", changes)
	})
	if err != nil {
		return nil, err
	}
	return org, nil
}

// checkEndpoints refuses an allowlist that leaves one of the organisation's endpoints out: each
// of its events would die at once.
func (s *Service) checkEndpoints(tx *store.Tx, org *kinora.Organisation) error {
	list, err := tx.Endpoints(org.ID)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := s.checkURL(org, "the url of endpoint "+e.ID, e.URL); err != nil {
			return err
		}
	}
	return nil
}

// apply puts a change into org after checking it. URLs are checked against the allowlist as it
// will be, also where only the list changes.
func (s *Service) apply(org *kinora.Organisation, change OrganisationChange) (err error) {
	if change.Name != nil {
		if org.Name, err = checkName(*change.Name); err != nil {
			return err
		}
	}
	if change.WebhookHosts != nil {
		if org.WebhookHosts, err = checkHosts(*change.WebhookHosts); err != nil {
			return err
		}
	}
	if change.Disabled != nil {
		org.Disabled = *change.Disabled
	}
	if change.Allowance != nil {
		if org.Allowance, err = org.Allowance.With(*change.Allowance); err != nil {
			return err
		}
	}
	for _, u := range []struct {
		name   string
		value  *string
		change *string
	}{{"default_webhook", &org.DefaultWebhook, change.DefaultWebhook}, {"operator_hook", &org.OperatorHook, change.OperatorHook}} {
		if u.change != nil {
			*u.value = *u.change
		}
		if *u.value == "" || u.change == nil && change.WebhookHosts == nil {
			continue
		}
		if err := s.checkURL(org, u.name, *u.value); err != nil {
			return err
		}
	}
	return nil
}

// messageOf leaves out what an error tells operators only.
func messageOf(err error) string {
	var e *kinora.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", kinora.FieldErrorf(kinora.ErrInvalid, "name", "name is required")
	case !utf8.ValidString(name), strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }):
		return "", kinora.FieldErrorf(kinora.ErrInvalid, "name", "name must be text without control characters")
	case utf8.RuneCountInString(name) > maxName:
		return "", kinora.FieldErrorf(kinora.ErrInvalid, "name", "name is longer than %d characters", maxName)
	}
	return name, nil
}

// checkHosts brings an allowlist into the spelling that it is compared in: lower-case ASCII
// without a trailing dot, each entry once, "*." in front where all names below are meant.
func checkHosts(entries []string) ([]string, error) {
	if len(entries) > MaxWebhookHosts {
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "webhook_hosts", "webhook_hosts has more than %d entries", MaxWebhookHosts)
	}
	hosts := make([]string, 0, len(entries))
	seen := make(map[string]bool)
	for i, entry := range entries {
		name, below := strings.CutPrefix(strings.TrimSpace(entry), "*.")
		name, ok := foldHost(name)
		// "*.com" would be as good as no list.
		if !ok || below && !strings.Contains(name, ".") {
			return nil, kinora.FieldErrorf(kinora.ErrInvalid, "webhook_hosts",
				"webhook_hosts[%d] must be a host name such as hooks.example.com, or *.example.com for all names below one", i)
		}
		if below {
			name = "*." + name
		}
		if !seen[name] {
			seen[name] = true
			hosts = append(hosts, name)
		}
	}
	return hosts, nil
}

// foldHost returns the spelling of a host name that URLs are reduced to before they are
// compared. Addresses are hosts as well.
func foldHost(name string) (string, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.String(), addr.Zone() == ""
	}
	ascii := name
	if strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		var err error
		if ascii, err = idna.Lookup.ToASCII(name); err != nil {
			return "", false
		}
	}
	if len(ascii) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", false
			}
		}
	}
	return ascii, true
}
