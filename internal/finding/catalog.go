package finding

import (
	"maps"
	"slices"
)

// The types of findings: GuardDuty's names where it has one, else names that begin with "Kura:".
const (
	BucketAnonymousAccess     = "Policy:S3/BucketAnonymousAccessGranted"
	BucketPublicAccess        = "Policy:S3/BucketPublicAccessGranted"
	BucketBlockDisabled       = "Policy:S3/BucketBlockPublicAccessDisabled"
	AccountBlockDisabled      = "Policy:S3/AccountBlockPublicAccessDisabled"
	AccessLoggingDisabled     = "Stealth:S3/ServerAccessLoggingDisabled"
	TrailDisabled             = "Stealth:IAMUser/CloudTrailLoggingDisabled"
	RootUsed                  = "Policy:IAMUser/RootCredentialUsage"
	MassDelete                = "Impact:S3/AnomalousBehavior.Delete"
	MassRead                  = "Exfiltration:S3/AnomalousBehavior"
	DeniedS3                  = "Discovery:S3/AnomalousBehavior"
	DeniedIAM                 = "Discovery:IAMUser/AnomalousBehavior"
	DiscoveryListed           = "Discovery:S3/MaliciousIPCaller"
	DiscoveryListedCustom     = "Discovery:S3/MaliciousIPCaller.Custom"
	ExfiltrationListed        = "Exfiltration:S3/MaliciousIPCaller"
	ImpactListed              = "Impact:S3/MaliciousIPCaller"
	UnauthorizedListedCustom  = "UnauthorizedAccess:S3/MaliciousIPCaller.Custom"
	IAMListed                 = "UnauthorizedAccess:IAMUser/MaliciousIPCaller"
	IAMListedCustom           = "UnauthorizedAccess:IAMUser/MaliciousIPCaller.Custom"
	SharedCredential          = "Kura:IAMUser/SharedCredential"
	CredentialsExposed        = "Kura:IAMUser/CredentialsExposed"
	KeyIDExposed              = "Kura:IAMUser/AccessKeyIDInObject"
	ConfidentialReadAnonymous = "Kura:S3/AnonymousReadOfConfidential"
	DetectorDisabled          = "Kura:IAMUser/DetectorDisabled"
	AdministrationOpen        = "Kura:Server/AdministrationOpen"
	NetworkRulesBroken        = "Kura:Server/NetworkRulesNotLoaded"
)

// Severities, as GuardDuty gives them by default.
const (
	Low    = 2.0
	Medium = 5.0
	High   = 8.0
)

// severities of the types.
var severities = map[string]float64{
	BucketAnonymousAccess: High, BucketPublicAccess: High, BucketBlockDisabled: Low, AccountBlockDisabled: Low,
	AccessLoggingDisabled: Low, TrailDisabled: Low, RootUsed: Low,
	MassDelete: High, MassRead: High, DeniedS3: Low, DeniedIAM: Low,
	DiscoveryListed: High, DiscoveryListedCustom: High, ExfiltrationListed: High, ImpactListed: High, UnauthorizedListedCustom: High,
	IAMListed: Medium, IAMListedCustom: Medium,
	SharedCredential: Medium, CredentialsExposed: High, KeyIDExposed: Low, ConfidentialReadAnonymous: High, DetectorDisabled: High,
	AdministrationOpen: High, NetworkRulesBroken: Medium,
}

// SeverityOf a type, 0 for one that Kura does not know.
func SeverityOf(typ string) float64 { return severities[typ] }

// Types are all of them, sorted.
func Types() []string { return slices.Sorted(maps.Keys(severities)) }
