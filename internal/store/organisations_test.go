package store_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// A page reads the organisations that it shows: the newest few, and the names that it needs.
func TestOrganisationsOfAPage(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		update(t, db, func(tx *store.Tx) error {
			for i := range 5 {
				if err := tx.InsertOrganisation(&kinora.Organisation{ID: fmt.Sprint("org_x", i), Name: fmt.Sprint("Name ", i), CreatedAt: t0}); err != nil {
					return err
				}
			}
			return nil
		})
		err := db.View(t.Context(), func(tx *store.Tx) error {
			list, err := tx.NewestOrganisations(2)
			if err != nil {
				return err
			}
			var ids []string
			for _, o := range list {
				ids = append(ids, o.ID)
			}
			if !slices.Equal(ids, []string{"org_x4", "org_x3"}) {
				t.Errorf("the newest are %q", ids)
			}
			for _, ask := range [][]string{nil, {"org_x1", "org_none", "org_x3", "org_x1"}} {
				names, err := tx.OrganisationNames(ask)
				if err != nil {
					return err
				}
				if ask == nil && len(names) != 0 || ask != nil && (len(names) != 2 || names["org_x1"] != "Name 1" || names["org_x3"] != "Name 3") {
					t.Errorf("the names of %q are %q", ask, names)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
