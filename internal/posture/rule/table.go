package rule

// rules are all that Kura has.
var rules = []*Rule{
	s3BucketPublicReadProhibited, s3BucketPublicWriteProhibited, s3BucketLevelPublicAccessProhibited,
	s3AccountLevelPublicAccessBlocks, s3AccountLevelPublicAccessBlocksPeriodic,
	s3BucketSSLRequestsOnly, s3BucketServerSideEncryptionEnabled, s3BucketVersioningEnabled, s3BucketACLProhibited,
	s3BucketBlacklistedActionsProhibited, s3BucketLoggingEnabled, s3DefaultEncryptionKMS, s3BucketReplicationEnabled,
	s3BucketDefaultLockEnabled,

	iamUserMFAEnabled, mfaEnabledForIAMConsoleAccess, rootAccountMFAEnabled, iamRootAccessKeyCheck, accessKeysRotated,
	iamUserUnusedCredentialsCheck, iamPasswordPolicy, iamPolicyNoStatementsWithAdminAccess, iamPolicyNoStatementsWithFullAccess,
	iamNoInlinePolicyCheck, iamUserNoPoliciesCheck, iamUserGroupMembershipCheck,

	cmkBackingKeyRotationEnabled, kmsCMKNotScheduledForDeletion, cloudTrailEnabled, cloudTrailLogFileValidationEnabled,
}
