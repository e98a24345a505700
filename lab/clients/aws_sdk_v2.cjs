// Calls with the AWS SDK for JavaScript before 2.575.0, which does not know session tokens.
const { EC2MetadataCredentials } = require('aws-sdk');

new EC2MetadataCredentials({ maxRetries: 0 }).get((error) => {
  if (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
});
