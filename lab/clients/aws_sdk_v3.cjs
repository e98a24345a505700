// Calls with the credential provider of the AWS SDK for JavaScript v3: IMDSv2, and IMDSv1 if it gets no
// token.
const { fromInstanceMetadata } = require('@smithy/credential-provider-imds');

fromInstanceMetadata({ timeout: 1000, maxRetries: 0 })().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
