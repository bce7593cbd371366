package identity

import (
	"context"
	"regexp"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
)

// serviceRolePath is where the roles are that belong to a service.
const serviceRolePath = "/aws-service-role/"

// linkedService is a service that Kura knows a service-linked role of.
type linkedService struct {
	name   string // of the role, after AWSServiceRoleFor
	suffix bool   // a custom suffix is allowed
}

// linkedServices are the services that a service-linked role can be made for.
var linkedServices = map[string]linkedService{
	"access-analyzer.amazonaws.com":                         {name: "AccessAnalyzer"},
	"apidestinations.events.amazonaws.com":                  {name: "AmazonEventBridgeApiDestinations"},
	"cloudtrail.amazonaws.com":                              {name: "CloudTrail"},
	"config.amazonaws.com":                                  {name: "Config"},
	"config-conforms.amazonaws.com":                         {name: "ConfigConforms"},
	"events.amazonaws.com":                                  {name: "CloudWatchEvents"},
	"guardduty.amazonaws.com":                               {name: "AmazonGuardDuty"},
	"malware-protection.guardduty.amazonaws.com":            {name: "AmazonGuardDutyMalwareProtection"},
	"mrk.kms.amazonaws.com":                                 {name: "KeyManagementServiceMultiRegionKeys"},
	"cks.kms.amazonaws.com":                                 {name: "KeyManagementServiceCustomKeyStores"},
	"organizations.amazonaws.com":                           {name: "Organizations"},
	"securityhub.amazonaws.com":                             {name: "SecurityHub"},
	"storage-lens.s3.amazonaws.com":                         {name: "S3StorageLens"},
	"batch.amazonaws.com":                                   {name: "Batch"},
	"autoscaling.amazonaws.com":                             {name: "AutoScaling", suffix: true},
	"custom-resource.application-autoscaling.amazonaws.com": {name: "ApplicationAutoScaling_CustomResource", suffix: true},
}

var suffixShape = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,64}$`)

// ServiceLinkedRoleARN is the ARN of the role that CreateServiceLinkedRole would make for a service.
func ServiceLinkedRoleARN(account, service, suffix string) string {
	return ARN(account, KindRole, serviceRolePath+service+"/", serviceRoleName(service, suffix))
}

func serviceRoleName(service, suffix string) string {
	name := "AWSServiceRoleFor" + linkedServices[service].name
	if suffix != "" {
		name += "_" + suffix
	}
	return name
}

// CreateServiceLinkedRole makes the role through which a service acts in the account. Only the service
// can use it and nobody can change it.
func (s *Store) CreateServiceLinkedRole(ctx context.Context, g authz.Grant, account, service, description, suffix string) (*Role, error) {
	if err := g.Require("iam:CreateServiceLinkedRole", ServiceLinkedRoleARN(account, service, suffix)); err != nil {
		return nil, err
	}
	known, ok := linkedServices[service]
	switch {
	case !ok:
		return nil, refuse(InvalidInput, "Service role name for %s is not known.", service)
	case suffix != "" && !known.suffix:
		return nil, refuse(InvalidInput, "Custom suffix is not allowed for %s", service)
	case suffix != "" && !suffixShape.MatchString(suffix):
		return nil, violates(suffix, "customSuffix", `Member must satisfy regular expression pattern: [\w+=,.@-]+`)
	}
	if err := checkDescription(description); err != nil {
		return nil, err
	}
	name := serviceRoleName(service, suffix)
	var made *Role
	err := s.change(ctx, g, func(tx *change) error {
		if _, taken := byName[*role](tx.State, account, KindRole, name); taken {
			return refuse(InvalidInput, "Service role name %s has been taken in this account, please try a different suffix.", name)
		}
		if err := tx.vacant(account, KindRole, name); err != nil {
			return err
		}
		r := &role{
			header: newHeader(KindRole, account, serviceRolePath+service+"/", name, s.moment()), Description: description,
			MaxSession: defaultMaxSession, Service: service,
		}
		if err := tx.setTrust(r, trustOfService(service)); err != nil {
			return err
		}
		tx.set(r)
		made = tx.showRole(r)
		return nil
	})
	return made, err
}

func trustOfService(service string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
}

// DeleteServiceLinkedRole removes a service-linked role and gives the id of the finished deletion.
func (s *Store) DeleteServiceLinkedRole(ctx context.Context, g authz.Grant, account, name string) (taskID string, err error) {
	err = s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:DeleteServiceLinkedRole", tx.arn(Ref{KindRole, account, name})); err != nil {
			return err
		}
		r, err := find[*role](tx.State, account, KindRole, name)
		if err != nil {
			return err
		}
		if r.Service == "" {
			return refuse(InvalidInput, "The role with name %s is not a service-linked role.", name)
		}
		taskID = "task" + strings.TrimSuffix(r.Path, "/") + "/" + r.Name + "/" + strings.ToLower(r.ID)
		tx.remove(r)
		return nil
	})
	return taskID, err
}
